"""Select labelled images of a campaign or of files, read their crops, and add them up."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from labeler.campaigns.service import get_campaign
from labeler.database.engine import Database
from labeler.errors import BrokenData, Conflict, InvalidInput
from labeler.images.process_pool import map_chunks
from labeler.labels import likeliest_label
from labeler.languages.texts import gettext as _
from labeler.mean_faces.statistics import (
    POSE_EDGES,
    SIZE,
    Floats,
    MeanFaces,
    check_mirrored_edges,
    find_poses,
)
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.proposals import Proposal
from labeler.proposals.runs import current_run
from labeler.subsets.members import check_usable, select_members
from labeler.subsets.service import get_subset
from rotation.data.crop import standard_crop
from rotation.data.decoding import decode
from rotation.data.image_names import match_keys
from rotation.data.image_set import open_images
from rotation.data.image_source import ImageSource
from rotation.data.labels_csv import read_labels, read_probabilities
from rotation.errors import DatasetError
from rotation.poses.estimation import trusted_yaw
from rotation.poses.pose_csv import read_poses

CHUNK = 256  # images per task
FEW = 1024  # with fewer images it is faster not to start processes
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LabelledImages:
    """N images with a label.

    Attributes:
        path: the folder or zip file.
        filenames, labels: N each.
        yaw_deg: (N,) in degrees; NaN if unknown.
        contents: the SHA-256 of each file, or its name if the hash is not known.
    """

    path: str
    filenames: Sequence[str]
    labels: Sequence[str]
    yaw_deg: Floats
    contents: Sequence[str]

    @property
    def key(self) -> str:
        """A hash of images, labels and yaws, which identifies the figure."""
        digest = hashlib.sha256()
        for row in zip(self.contents, self.labels, self.yaw_deg.tolist(), strict=True):
            digest.update(repr(row).encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class WantedLabels:
    """Which labels of a campaign are used.

    Attributes:
        min_probability: the smallest probability of a label, by the consensus or the proposal.
        with_proposals: use the best label of the current model run where the votes have none.
        subset_id: use only images of this subset; None: all.
    """

    min_probability: float = 0.0
    with_proposals: bool = False
    subset_id: int | None = None


def draw_mean_faces(
    db: Database,
    campaign_id: int,
    wanted: WantedLabels | None = None,
    *,
    mirror: bool = False,
    edges: Sequence[float] = POSE_EDGES,
    progress: Progress | None = None,
    processes: int = 1,
) -> MeanFaces:
    """Compute the mean faces of a campaign from its present labels.

    This takes seconds to minutes (docs/mean-faces.md).

    Parameters:
        wanted: as for `choose_images`.
        mirror, edges, progress, processes: as for `sum_faces`.

    Raises:
        NotFound: there is no such campaign or subset.
        Conflict: there are no proposals, or the subset has no image.
        InvalidInput: a probability is not 0 to 1, the edges are wrong, or the subset has images of
            another data set.
        DatasetError: the folder or zip file cannot be opened.
    """
    with db.read() as session:
        chosen = choose_images(session, campaign_id, wanted)
    return sum_faces(chosen, mirror, edges, progress, processes)


def choose_images(
    session: Session,
    campaign_id: int,
    wanted: WantedLabels | None = None,
) -> LabelledImages:
    """Return the images of a campaign that have a label, by image number.

    Parameters:
        wanted: which labels are used; None: all that the votes have given.

    Raises:
        NotFound: there is no such campaign or subset.
        Conflict: there are no proposals, or the subset has no image.
        InvalidInput: the probability is not 0 to 1, or the subset has images of another data set.
    """
    wanted = wanted or WantedLabels()
    _check_probability(wanted.min_probability)
    campaign = get_campaign(session, campaign_id)
    among = _among(session, campaign, wanted.subset_id)
    found = _agreed_rows(session, campaign_id, wanted.min_probability, among)
    if wanted.with_proposals:
        run = current_run(session, campaign.dataset_id)
        if run is None:
            raise Conflict(
                _(
                    "There are no proposals yet. Run `python manage.py propose`, or draw the "
                    "figure without proposals."
                )
            )
        found += _proposed_rows(session, campaign_id, run.id, wanted.min_probability, among)
    found.sort(key=lambda pair: pair[0].id)
    return LabelledImages(
        path=campaign.dataset.path,
        filenames=[row.filename for row, _ in found],
        labels=[label for _, label in found],
        yaw_deg=np.array([row.yaw_deg for row, _ in found], np.float64),  # None becomes NaN
        contents=[row.sha256 for row, _ in found],
    )


def choose_from_files(
    images: Path, labels: Path, poses: Path, min_probability: float = 0.0
) -> LabelledImages:
    """Return the images of a labels.csv, with the yaws of a poses.csv. This needs no database.

    Parameters:
        images: the folder or zip file.
        labels: written by `manage.py export labels`.
        poses: written by `manage.py rotation poses`.
        min_probability: the smallest probability of a label.

    Raises:
        DatasetError: a file cannot be read. The message names file and line.
        BrokenData: the file has no probabilities, but `min_probability` needs them; or a file
            belongs to other images.
        InvalidInput: the probability is not 0 to 1.
    """
    _check_probability(min_probability)
    with open_images(images) as source:
        here = set(source.names())
    by_name, yaws = read_labels(labels, here), match_keys(read_poses(poses), here)
    if min_probability > 0:
        likely = read_probabilities(labels, here)
        by_name = _likely_enough(by_name, likely, labels, min_probability)
    for path, named in ((labels, set(by_name)), (poses, set(yaws))):
        if not named & here:
            raise BrokenData(
                f"{path}: none of its {len(named):,} images is in {images}. --images, --labels and "
                "--poses must belong to one data set."
            )
    names = list(by_name)
    known = np.array(
        [trusted_yaw(yaws[name]) if name in yaws else np.nan for name in names], np.float64
    )
    return LabelledImages(str(images), names, list(by_name.values()), known, names)


def sum_faces(
    chosen: LabelledImages,
    mirror: bool = False,
    edges: Sequence[float] = POSE_EDGES,
    progress: Progress | None = None,
    processes: int = 1,
) -> MeanFaces:
    """Read the crops of the images and add them up.

    Images without a cell are not opened. Unreadable images are left out and counted. The result
    does not depend on the number of processes.

    Raises:
        InvalidInput: the edges are wrong, or are not symmetric although `mirror` is given.
        DatasetError: the folder or zip file cannot be opened.
    """
    faces = MeanFaces(check_mirrored_edges(edges) if mirror else edges)
    inside = find_poses(chosen.yaw_deg, faces.edges) >= 0
    unknown = int(np.isnan(chosen.yaw_deg).sum())
    faces.leave_out("no_yaw", unknown)
    faces.leave_out("beyond_the_poses", int((~inside).sum()) - unknown)
    rows = np.flatnonzero(inside).tolist()
    for done, (read, crops) in enumerate(_read_crops(chosen, rows, processes), 1):
        faces.add(crops, [chosen.labels[row] for row in read], chosen.yaw_deg[read])
        if progress is not None:
            progress(min(done * CHUNK, len(rows)), len(rows))
    faces.leave_out("unreadable", len(rows) - faces.n_images)
    return faces.with_mirrors() if mirror else faces


def _read_crops(
    chosen: LabelledImages, rows: Sequence[int], processes: int
) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    """Yield, chunk by chunk, the rows that could be read, and their crops."""
    if not rows:
        return
    starts = range(0, len(rows), CHUNK)
    parts = [rows[start : start + CHUNK] for start in starts]
    chunks = [[(row, chosen.filenames[row]) for row in part] for part in parts]
    yield from map_chunks(chosen.path, _crop_chunk, chunks, processes if len(rows) > FEW else 1)


def _crop_chunk(
    source: ImageSource, chunk: Sequence[tuple[int, str]]
) -> tuple[list[int], NDArray[np.uint8]]:
    read, crops = [], []
    for row, filename in chunk:
        try:
            crops.append(standard_crop(decode(source.read(filename), filename), SIZE))
        except DatasetError:
            continue
        read.append(row)
    return read, np.stack(crops) if crops else np.empty((0, SIZE, SIZE, 3), np.uint8)


def _check_probability(probability: float) -> None:
    if not 0 <= probability <= 1:
        raise InvalidInput(
            _(
                "The lowest probability is %(given)s. It must be between 0 and 1.",
                given=probability,
            )
        )


def _among(
    session: Session, campaign: Campaign, subset_id: int | None
) -> list[ColumnElement[bool]]:
    """Return the condition that an image is in the subset; none without one."""
    if subset_id is None:
        return []
    subset = get_subset(session, subset_id)
    check_usable(session, subset, campaign)
    return [Image.id.in_(select_members(session, subset))]


def _agreed_rows(
    session: Session, campaign_id: int, least: float, among: Sequence[ColumnElement[bool]]
) -> list[tuple[Any, str]]:
    """Return image rows (id, filename, sha256, yaw_deg) and labels, of agreed images."""
    rows = session.execute(
        select(Image.id, Image.filename, Image.sha256, Image.yaw_deg, Consensus.label)
        .join(Consensus, Consensus.image_id == Image.id)
        .where(
            Consensus.campaign_id == campaign_id,
            Consensus.status == "agreed",
            Consensus.probability >= least,
            *among,
        )
    )
    return [(row, row.label) for row in rows]


def _proposed_rows(
    session: Session,
    campaign_id: int,
    run_id: int,
    least: float,
    among: Sequence[ColumnElement[bool]],
) -> list[tuple[Any, str]]:
    """Return the same for other images, from proposals. Ties have no label."""
    chances = (Proposal.p_left, Proposal.p_center, Proposal.p_right)
    rows = session.execute(
        select(Image.id, Image.filename, Image.sha256, Image.yaw_deg, *chances)
        .join(Consensus, Consensus.image_id == Image.id)
        .join(Proposal, and_(Proposal.image_id == Image.id, Proposal.model_run_id == run_id))
        .where(Consensus.campaign_id == campaign_id, Consensus.status != "agreed", *among)
    )
    found = []
    for row in rows:
        probabilities = (row.p_left, row.p_center, row.p_right)
        label = likeliest_label(probabilities)
        if label is not None and max(probabilities) >= least:
            found.append((row, label))
    return found


def _likely_enough(
    labels: dict[str, str], likely: dict[str, float], path: Path, least: float
) -> dict[str, str]:
    """Return the labels whose probability in the file at `path` is at least `least`."""
    lacking = [name for name in labels if name not in likely]
    if lacking:
        raise BrokenData(
            f"{path}: {lacking[0]!r} has a label, but nothing in the column "
            f"'p_{labels[lacking[0]]}'. Write the file with `python manage.py export labels`, or "
            "leave out --min-probability."
        )
    return {name: label for name, label in labels.items() if likely[name] >= least}
