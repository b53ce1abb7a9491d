"""The labelled images of a campaign, on which models are trained.

Labels come only from votes, gold and decisions. Earlier proposals are never used, even if the
campaign counts them in its consensus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.campaigns.service import get_campaign
from labeler.consensus.derivation import chances_by_votes, load_annotator_model
from labeler.consensus.store import load_facts
from labeler.errors import Conflict
from labeler.labels import likeliest_label
from labeler.languages.texts import gettext as _
from labeler.languages.texts import ngettext
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from rotation.data.labels import LABELS

MIN_IMAGES = 6
MIN_LABELS = 2
_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class TrainingImage:
    """A labelled image.

    Attributes:
        filename: of the image.
        shares: P(left), P(center), P(right) from the votes alone.
        likelihood: P(votes | label) for the three labels, up to a factor.
        group: the person on the image; a number of its own if unknown.
        sure: whether the label is agreed, gold or decided.
    """

    filename: str
    shares: tuple[float, ...]
    likelihood: tuple[float, ...]
    group: int
    sure: bool

    @property
    def label(self) -> str:
        """The most probable label."""
        return LABELS[self.shares.index(max(self.shares))]


def check_trainable(session: Session, campaign_id: int) -> tuple[Campaign, list[TrainingImage]]:
    """Return a campaign and its labelled images.

    Raises:
        NotFound: there is no such campaign.
        Conflict: there are too few labelled images to train on.
    """
    campaign = get_campaign(session, campaign_id)
    training = select_training(session, campaign_id)
    check_enough([image.label for image in training], campaign.name)
    return campaign, training


def select_training(session: Session, campaign_id: int) -> list[TrainingImage]:
    """Return the images with a label from votes, gold or a decision, by filename.

    Images on which two labels tie are left out.
    """
    rows = session.execute(
        select(Image.id, Image.filename, Image.identity, Consensus.status)
        .join(Consensus, Consensus.image_id == Image.id)
        .where(
            Consensus.campaign_id == campaign_id,
            Image.status == "ok",
            (Consensus.votes_left + Consensus.votes_center + Consensus.votes_right > 0)
            | (Consensus.status == "agreed"),
        )
        .order_by(Image.filename)
    ).all()
    known = load_annotator_model(session, campaign_id)
    found = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        facts = load_facts(session, campaign_id, [row.id for row in batch])
        for row, one in zip(batch, facts, strict=True):
            shares = chances_by_votes(one, known)
            if likeliest_label(shares) is not None:
                found.append(_training_image(row, shares, known.class_prior))
    return found


def _training_image(row: Any, shares: Sequence[float], prior: Sequence[float]) -> TrainingImage:
    # Cross-validation keeps images of one person together. Unknown persons have one image each.
    group = -row.id if row.identity is None else row.identity
    likelihood = tuple(share / chance for share, chance in zip(shares, prior, strict=True))
    return TrainingImage(row.filename, tuple(shares), likelihood, group, row.status == "agreed")


def check_enough(labels: Sequence[str], name: str) -> None:
    """Check that there are enough labels to train on.

    Raises:
        Conflict: there are fewer than `MIN_IMAGES` images or `MIN_LABELS` different labels.
    """
    kinds = sorted(set(labels))
    if len(labels) >= MIN_IMAGES and len(kinds) >= MIN_LABELS:
        return
    raise Conflict(
        _(
            "There are not enough votes in %(name)r to train a model: %(there)s. At least "
            "%(images)s labelled images with %(different)s different labels of %(labels)s are "
            "needed. Label some more images, then run `python manage.py propose`.",
            name=name,
            there=_count(len(labels), kinds),
            images=MIN_IMAGES,
            different=MIN_LABELS,
            labels=", ".join(map(_, LABELS)),
        )
    )


def _count(images: int, kinds: Sequence[str]) -> str:
    if not kinds:
        return ngettext("%(num)s image labelled", "%(num)s images labelled", images)
    labels = _(kinds[0])
    for kind in kinds[1:]:
        labels = _("%(first)s or %(second)s", first=labels, second=_(kind))
    return ngettext(
        "%(num)s image labelled %(labels)s",
        "%(num)s images labelled %(labels)s",
        images,
        labels=labels,
    )
