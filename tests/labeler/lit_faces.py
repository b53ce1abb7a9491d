"""Images with a known light in a registered data set, and votes on them."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image as Pixels
from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.campaigns.service import activate_campaign, ensure_campaign
from labeler.consensus.store import add_rows, rebuild
from labeler.models.accounts import Annotator
from labeler.models.images import Dataset, Image
from labeler.models.voting import Vote
from labeler.rules.campaign_rules import Rules
from rotation.data.formulas import guard_formula
from rotation.data.labels import LABELS

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RULES = Rules(method="majority", required_votes=3, proposals="shown", gold_rate=0.0)


WIDTH, HEIGHT = 89, 109
LANDMARKS = [70, 111, 108, 111, 89, 135, 73, 152, 105, 152]
"""About CelebA's mean landmarks, in pixels of an image 178 wide, and symmetric. They save the
search for a face, which these pictures do not show."""
LANDMARK_NAMES = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")


def write_faces(folder: Path, labels: Mapping[str, str], seed: int = 0) -> None:
    """Write a noisy grey image for each name, brighter on the side of its label."""
    rng = np.random.default_rng(seed)
    across = np.linspace(0.8, -0.8, WIDTH)
    for name, label in labels.items():
        slope = (1 - LABELS.index(label)) * across
        grey = 110 * np.exp(slope + 0.2 * rng.standard_normal((HEIGHT, WIDTH)))
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Pixels.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(path)


def write_landmarks(folder: Path, names: Iterable[str]) -> None:
    """Write CelebA's file of landmarks for these images."""
    columns = [f"{p}_{axis}" for p in LANDMARK_NAMES for axis in "xy"]
    with (folder / "list_landmarks_align_celeba.csv").open("w", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", *columns])
        writer.writerows([guard_formula(name), *LANDMARKS] for name in names)


def cycle_labels(count: int) -> dict[str, str]:
    """Return labels by name: `face000.png` left, `face001.png` center, and so on."""
    return {f"face{i:03d}.png": LABELS[i % 3] for i in range(count)}


def register(session: Session, folder: Path, names: Iterable[str], name: str = "faces") -> Dataset:
    """Register a data set with an active campaign. All images can be decoded and are open."""
    dataset = Dataset(name=name, path=str(folder), attribute_names=[])
    session.add(dataset)
    session.flush()
    campaign = activate_campaign(session, ensure_campaign(session, dataset).id)
    campaign.rules = RULES.as_dict()
    images = [
        Image(
            dataset_id=dataset.id,
            filename=each,
            status="ok",
            width=WIDTH,
            height=HEIGHT,
            landmarks=LANDMARKS,
            byte_size=1,
            sha256="0" * 64,
        )
        for each in names
    ]
    session.add_all(images)
    session.flush()
    add_rows(session, campaign.id, [image.id for image in images])
    return dataset


def add_people(session: Session, count: int) -> list[Annotator]:
    """Add annotators `person0`, `person1` and so on, with pseudonyms `P0000`."""
    people = [
        Annotator(username=f"person{i}", pseudonym=f"P{i:04d}", password_hash="x")
        for i in range(count)
    ]
    session.add_all(people)
    session.flush()
    return people


def vote(
    session: Session,
    dataset: Dataset,
    answers: Mapping[str, Sequence[str]],
    people: list[Annotator],
) -> list[Vote]:
    """Store a vote for each answer, by different people, and derive the labels."""
    ids = dict(
        session.execute(
            select(Image.filename, Image.id).where(Image.dataset_id == dataset.id)
        ).all()
    )
    campaign_id = ensure_campaign(session, dataset).id
    votes = [
        Vote(
            campaign_id=campaign_id,
            image_id=ids[name],
            annotator_id=person.id,
            answer=answer,
            blind=False,
            request_id=uuid.uuid4().hex,
            elapsed_ms=1200,
        )
        for name, given in answers.items()
        for person, answer in zip(people, given, strict=False)
    ]
    for second, each in enumerate(votes):
        each.created_at = START + timedelta(seconds=second)
    session.add_all(votes)
    session.flush()
    rebuild(session, campaign_id)
    return votes
