"""A data set with labels, yaws, attributes and persons, for counting clusters and for the form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from labeler.database.engine import Database
from labeler.models.campaigns import Campaign
from labeler.models.images import Image
from tests.labeler.lit_faces import add_people, register, vote, write_faces

ATTRIBUTES = ["Male", "Smiling", "Young"]
YAWS = (-30.5, -20.5, -10.5, -0.5, 9.5, 19.5, 29.5)  # on no edge of a window


@dataclass(frozen=True, slots=True)
class Face:
    """An image. `bits`: its attributes; `label`: None for an image without votes."""

    yaw_deg: float | None
    label: str | None = "left"
    bits: int | None = 0
    identity: int | None = None


@dataclass(frozen=True, slots=True)
class Labelled:
    """The registered data set, and the numbers of its images in their order."""

    dataset_id: int
    campaign_id: int
    image_ids: Sequence[int]


def register_labelled(
    db: Database, folder: Path, faces: Sequence[Face], name: str = "faces"
) -> Labelled:
    """Register these images, and let three people agree on their labels."""
    labels = {f"{name}{number:03d}.png": face for number, face in enumerate(faces)}
    write_faces(folder, {one: face.label or "center" for one, face in labels.items()})
    with db.write() as session:
        dataset = register(session, folder, labels, name)
        dataset.attribute_names = ATTRIBUTES
        for image in session.scalars(select(Image).where(Image.dataset_id == dataset.id)):
            face = labels[image.filename]
            image.yaw_deg, image.attribute_bits = face.yaw_deg, face.bits
            image.identity = face.identity
        answers = {one: [face.label] * 3 for one, face in labels.items() if face.label}
        vote(session, dataset, answers, add_people(session, 3))
        ids = session.scalars(
            select(Image.id).where(Image.dataset_id == dataset.id).order_by(Image.filename)
        ).all()
        campaign = select(Campaign.id).where(Campaign.dataset_id == dataset.id)
        return Labelled(dataset.id, session.scalars(campaign).one(), ids)


def even_faces(each: int, label: str = "left") -> list[Face]:
    """So many images at each yaw of a turn by 30 degrees."""
    return [Face(yaw, label) for yaw in YAWS for _ in range(each)]
