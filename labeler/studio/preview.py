"""The clusters that a turn would use, counted from what is stored. No image is opened.

The counts are those of `rotation.clusters.selection.select` on the files that a turn exports: each
labelled image counts as it is and mirrored, images of the source's person are left out, attributes
are dropped from the last one on, and then windows are widened. The edges of windows are whole
degrees. So it is enough to count images at each whole degree, and between two of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Integer, case, cast, func
from sqlalchemy.orm import Session

from labeler.labels import likeliest_label
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.proposals import Proposal
from labeler.proposals.runs import current_run
from labeler.studio.candidates import Candidates, PreviewSource, select_candidates
from labeler.studio.choices import AUTO, TurnChoices
from rotation.clusters.selection import cluster_angles
from rotation.data.labels import LABELS, MIRRORED_LABEL
from rotation.options import ClusterOptions

HALF_WIDTH_DEG, MAX_HALF_WIDTH_DEG = (
    int(ClusterOptions.half_width_deg),
    int(ClusterOptions.max_half_width_deg),
)
MIDDLE = 512  # more than twice the largest yaw
LEVELS = 64  # more than the attributes that can be chosen
Counts = Counter[tuple[str, int, int]]  # by label, matching attributes and place of the yaw


@dataclass(frozen=True, slots=True)
class ClusterCount:
    """The cluster at an angle.

    `found`: images and mirror images with all the attributes; `used`: those that the engine would
    take. `half_width_deg`: of the window then.
    """

    angle_deg: float
    found: int
    used: int
    half_width_deg: int
    enough: bool


@dataclass(frozen=True, slots=True)
class ClusterPreview:
    """The clusters that would be used.

    Attributes:
        light: of the members; "" for every light; None: the source's light is not known.
        clusters: by rising angle.
        kept, dropped: the attributes that members share, and those given up to fill the clusters.
        labelled: images with a label that could be members, whatever their light.
        unknown_yaw: how many of them have no known yaw, so that no cluster can have them.
    """

    light: str | None
    clusters: Sequence[ClusterCount] = ()
    kept: Sequence[str] = ()
    dropped: Sequence[str] = ()
    labelled: int = 0
    unknown_yaw: int = 0

    @property
    def is_enough(self) -> bool:
        """Whether every cluster has enough members."""
        return bool(self.clusters) and all(one.enough for one in self.clusters)

    @property
    def too_small(self) -> Sequence[ClusterCount]:
        """The clusters with too few members."""
        return [one for one in self.clusters if not one.enough]


def load_source(
    session: Session, campaign: Campaign, image: Image, *, with_proposals: bool
) -> PreviewSource:
    """Return what the engine would know of an image as a source.

    Its light is that of the votes. Without one it is that of the model if `with_proposals`.
    """
    found = session.get(Consensus, (campaign.id, image.id))
    run = current_run(session, campaign.dataset_id) if with_proposals else None
    proposed = session.get(Proposal, (run.id, image.id)) if run and found else None
    label, probability = None, None
    if found is not None and (found.votes > 0 or proposed is not None):
        label, probability = found.label, found.probability
    if proposed is not None and not label:
        label, probability = _likeliest(proposed)
    return PreviewSource(
        image.id,
        label or "",
        probability,
        image.yaw_deg,
        image.attribute_bits,
        image.identity,
    )


def usable_attributes(names: Sequence[str], campaign: Campaign, source: PreviewSource) -> list[str]:
    """Return those of the attributes that the data set has and that are known of the source."""
    known = campaign.dataset.attribute_names
    return [one for one in names if one in known] if source.attribute_bits is not None else []


def preview_clusters(
    session: Session,
    campaign: Campaign,
    source: PreviewSource,
    choices: TurnChoices,
    subset_id: int | None = None,
) -> ClusterPreview:
    """Count the clusters that a turn would use.

    Raises:
        NotFound, Conflict, InvalidInput: there is no such subset, or it cannot be used.
    """
    light = choices.light if choices.light != AUTO else source.label
    if not choices.light_filter:
        light = ""
    elif not light:
        return ClusterPreview(None)
    attributes = usable_attributes(choices.attributes, campaign, source)
    found = select_candidates(session, campaign, source, choices, attributes, subset_id)
    counts, unknown = _count(session, found)
    labelled = counts.total() + unknown
    angles = [int(angle) for angle in cluster_angles(choices.angles_deg)]
    clusters, kept = _fill(counts, light, angles, len(attributes), choices)
    dropped = attributes[kept:]
    return ClusterPreview(light, clusters, attributes[:kept], dropped, labelled, unknown)


def _count(session: Session, found: Candidates) -> tuple[Counts, int]:
    """Count candidates; also returns how many have no known yaw.

    They are grouped by one number: databases sort that faster than three columns.
    """
    label = case(dict(zip(LABELS, range(len(LABELS)), strict=True)), value=found.label)
    place = func.coalesce(cast(found.place, Integer) + MIDDLE, 0)
    code = ((label * LEVELS + found.matching) * 2 * MIDDLE + place).label("code")
    counting = found.statement.with_only_columns(code, func.count()).group_by(code)
    counts: Counts = Counter()
    unknown = 0
    for number, images in session.execute(counting):
        rest, shifted = divmod(number, 2 * MIDDLE)
        if shifted:
            counts[LABELS[rest // LEVELS], rest % LEVELS, shifted - MIDDLE] += images
        else:
            unknown += images
    return counts, unknown


def _fill(
    counts: Counts, light: str, angles: Sequence[int], attributes: int, choices: TurnChoices
) -> tuple[list[ClusterCount], int]:
    """Fill the clusters as the engine does; also returns how many attributes it keeps."""
    least, most = choices.min_cluster, max(choices.max_cluster, choices.min_cluster)

    def size(angle: int, level: int, half: int = HALF_WIDTH_DEG) -> int:
        return _in_window(counts, light, level, angle, half)

    levels = range(attributes, 0, -1)
    fits = (one for one in levels if all(size(angle, one) >= least for angle in angles))
    kept = next(fits, 0)
    clusters = []
    for angle in angles:
        half = HALF_WIDTH_DEG
        while kept == 0 and half < MAX_HALF_WIDTH_DEG and size(angle, kept, half) < least:
            half += 1
        used = size(angle, kept, half)
        found = size(angle, attributes)
        clusters.append(ClusterCount(angle, found, min(used, most), half, used >= least))
    return clusters, kept


def _in_window(counts: Counts, light: str, level: int, angle: int, half: int) -> int:
    """Count images and mirror images in a window of yaw, its edges included.

    A mirror negates the yaw, and so its place, and swaps sides.
    """
    window = range(2 * (angle - half), 2 * (angle + half) + 1)
    total = 0
    for (label, matching, place), number in counts.items():
        if matching < level:
            continue
        total += number * (place in window and light in ("", label))
        total += number * (-place in window and light in ("", MIRRORED_LABEL[label]))
    return total


def _likeliest(proposal: Proposal) -> tuple[str | None, float | None]:
    chances = proposal.p_left, proposal.p_center, proposal.p_right
    label = likeliest_label(chances)
    return label, (max(chances) if label else None)
