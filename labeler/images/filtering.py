"""Which images of a data set a supervisor wants to see, and the statement that finds them.

An `ImageFilter` has no condition by default and then finds all images of the data set. Each
condition narrows it. `select_ids` joins only the tables that the conditions need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, or_, select
from sqlalchemy.orm import Session, aliased

from labeler.campaigns.image_selection import has_attribute
from labeler.consensus.derivation import DECISION_METHOD
from labeler.consensus.store import current_run_of
from labeler.gold.service import is_gold
from labeler.languages.texts import gettext as _
from labeler.models.base import MAX_ID, MAX_SMALL
from labeler.models.campaigns import Campaign
from labeler.models.consensus import CONSENSUS_STATUSES, Consensus, Gold
from labeler.models.images import MAX_FILENAME, Dataset, Image
from labeler.models.people import ImageFlag
from labeler.models.proposals import Proposal
from labeler.models.subsets import SubsetImage
from labeler.rules.validation import (
    Problem,
    check_number,
    check_whole,
    check_word,
    known_fields,
    read_whole,
    refuse_problems,
)
from rotation.data.labels import LABELS

# `selected`: in the campaign. `undecided`: contested, and no supervisor has decided. `outside`:
# could be labelled and is not in the campaign. The last two are about the file.
STATUSES = ("selected", *CONSENSUS_STATUSES, "undecided", "outside", "broken", "unchecked")
NO_PROPOSAL = "none"
PROPOSALS = (*LABELS, NO_PROPOSAL)
MAX_YAW = 180.0


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers from `low` to `high`, both included; None: no limit on that side."""

    low: float | None = None
    high: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is no limit at all."""
        return self.low is None and self.high is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFilter:
    """The conditions that an image has to meet. None, "" and empty: no condition.

    Attributes:
        search: a part of the file name, in capital or small letters, or the image's number.
        status: one of `STATUSES`.
        label: the label of an agreed image.
        probability: of this label, 0 to 1.
        proposal: the likeliest label by the current model run, or `NO_PROPOSAL`.
        confidence: the probability of the proposal, 0 to 1.
        differs: whether label and proposal differ; an image without one of them does neither.
        gold: whether the image is a gold question.
        flagged: whether the image has an open flag.
        identity: the number of the person in the image.
        partition: of CelebA: 0 train, 1 valid, 2 test.
        yaw: in degrees, positive towards the viewer's right.
        subset: the number of a frozen subset of the data set.
        attributes: required values by name.

    Raises:
        RuleError: values are wrong. It contains all of them.
    """

    search: str = ""
    status: str | None = None
    label: str | None = None
    probability: Range = Range()
    proposal: str | None = None
    confidence: Range = Range()
    differs: bool | None = None
    gold: bool | None = None
    flagged: bool | None = None
    identity: int | None = None
    partition: int | None = None
    yaw: Range = Range()
    subset: int | None = None
    attributes: Mapping[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_problems(self._problems())

    def _problems(self) -> Iterator[Problem | None]:
        if len(self.search) > MAX_FILENAME or "\0" in self.search:
            needed = _(
                "a text of at most %(limit)s characters, without a NUL character,",
                limit=MAX_FILENAME,
            )
            yield Problem(field="search", given=self.search[:20], needed=needed)
        words = {"status": STATUSES, "label": LABELS, "proposal": PROPOSALS}
        for name, allowed in words.items():
            if getattr(self, name) is not None:
                yield check_word(name, getattr(self, name), allowed)
        for name, largest in {
            "identity": MAX_ID,
            "partition": MAX_SMALL,
            "subset": MAX_ID,
        }.items():
            if getattr(self, name) is not None:
                yield check_whole(name, getattr(self, name), 0, largest)
        yield from _check_range("probability", self.probability, 0, 1)
        yield from _check_range("confidence", self.confidence, 0, 1)
        yield from _check_range("yaw", self.yaw, -MAX_YAW, MAX_YAW)

    @property
    def names(self) -> tuple[str, ...]:
        """The conditions that are set: names of fields, and `attribute-NAME`."""
        plain = (name for name, default in _DEFAULTS.items() if getattr(self, name) != default)
        return (*plain, *(f"attribute-{name}" for name in self.attributes))

    def without(self, name: str) -> ImageFilter:
        """The filter without one of its conditions `names`."""
        if name.startswith("attribute-"):
            dropped = name.removeprefix("attribute-")
            kept = {one: wanted for one, wanted in self.attributes.items() if one != dropped}
            return replace(self, attributes=kept)
        return replace(self, **{name: _DEFAULTS[name]})

    def as_dict(self) -> dict[str, Any]:
        """The conditions that are set, as JSON values. A range becomes its two ends."""
        set_ones = {name: getattr(self, name) for name in self.names if name in _DEFAULTS}
        values = {
            name: [value.low, value.high] if isinstance(value, Range) else value
            for name, value in set_ones.items()
        }
        return values | ({"attributes": dict(self.attributes)} if self.attributes else {})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImageFilter:
        """The filter of `as_dict`.

        Raises:
            RuleError: a name is unknown, or a value is not allowed.
        """
        known = known_fields(cls, "condition", values)
        ranges = {name: Range(*known[name]) for name in known.keys() & _RANGES}
        return cls(**{**known, **ranges})


_DEFAULTS: dict[str, Any] = {
    one.name: one.default for one in fields(ImageFilter) if one.name != "attributes"
}
_RANGES = {name for name, default in _DEFAULTS.items() if isinstance(default, Range)}


@dataclass(frozen=True, slots=True)
class Scope:
    """The images to choose from: those of a data set, as one of its campaigns knows them.

    `run_id`: the current model run, None without one.
    """

    dataset: Dataset
    campaign_id: int
    run_id: int | None


def load_scope(session: Session, campaign: Campaign) -> Scope:
    """The scope of a campaign; one or two statements."""
    return Scope(campaign.dataset, campaign.id, session.scalar(select(current_run_of(campaign.id))))


def select_ids(scope: Scope, wanted: ImageFilter) -> tuple[Select[int], Any]:
    """The statement that selects the ids of the images, without an order, and its column.

    Raises:
        NotFound: the data set has no such attribute.
    """
    by_file = [*_by_file(scope, wanted)]
    by_votes = [*_by_votes(wanted)]
    if wanted.subset is not None:  # its images first: they may be few
        column: Any = SubsetImage.image_id
        found = select(column).where(SubsetImage.subset_id == wanted.subset)
        own = Image.dataset_id == scope.dataset.id
        found = found.join(Image, Image.id == column).where(own, *by_file)
        if by_votes:
            row = and_(Consensus.campaign_id == scope.campaign_id, Consensus.image_id == column)
            found = found.join(Consensus, row).where(*by_votes)
    elif by_votes:  # each row of the campaign is about an image of its data set
        column = Consensus.image_id
        found = select(column).where(Consensus.campaign_id == scope.campaign_id, *by_votes)
        if by_file:
            found = found.join(Image, Image.id == column).where(*by_file)
    else:
        column = Image.id
        found = select(column).where(Image.dataset_id == scope.dataset.id, *by_file)
    by_model = [*_by_model(wanted)]
    if by_model:
        run = Proposal.model_run_id == scope.run_id
        found = found.join(Proposal, and_(run, Proposal.image_id == column)).where(*by_model)
    if wanted.proposal == NO_PROPOSAL:
        found = found.where(~_proposed(scope, column))
    return found.where(*_by_gold(scope, wanted, column), *_by_flag(scope, wanted, column)), column


def _by_file(scope: Scope, wanted: ImageFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.search:
        yield _named(wanted.search)
    if wanted.status in ("broken", "unchecked"):
        yield Image.status == wanted.status
    if wanted.status == "outside":
        # Under its own name: the statement around it may join this table as well.
        row = aliased(Consensus)
        selected = select(row.image_id).where(
            row.campaign_id == scope.campaign_id, row.image_id == Image.id
        )
        yield Image.status == "ok"
        yield ~selected.exists()
    if wanted.identity is not None:
        yield Image.identity == wanted.identity
    if wanted.partition is not None:
        yield Image.partition == wanted.partition
    yield from _within(Image.yaw_deg, wanted.yaw)
    for name, value in wanted.attributes.items():
        yield has_attribute(scope.dataset, name, value)


def _by_votes(wanted: ImageFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.status in CONSENSUS_STATUSES:
        yield Consensus.status == wanted.status
    if wanted.status == "selected":
        yield Consensus.status.in_(CONSENSUS_STATUSES)
    if wanted.status == "undecided":
        yield Consensus.status == "contested"
        yield Consensus.method != DECISION_METHOD
    if wanted.label is not None:
        yield Consensus.label == wanted.label
    yield from _within(Consensus.probability, wanted.probability)
    if wanted.differs is not None:  # the other half of the condition is in `_by_model`
        yield Consensus.label.is_not(None)


def _by_model(wanted: ImageFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.proposal in LABELS:
        yield _proposes(wanted.proposal)
    chances = [getattr(Proposal, f"p_{label}") for label in LABELS]
    if wanted.confidence.low is not None:
        yield or_(*(chance >= wanted.confidence.low for chance in chances))
    if wanted.confidence.high is not None:
        yield and_(*(chance <= wanted.confidence.high for chance in chances))
    if wanted.differs is not None:
        yield or_(
            *(
                and_(Consensus.label == label, _proposes(proposed))
                for label in LABELS
                for proposed in LABELS
                if (label != proposed) == wanted.differs
            )
        )


def _by_gold(scope: Scope, wanted: ImageFilter, column: Any) -> Iterator[ColumnElement[bool]]:
    if wanted.gold:  # there are few, so they are looked up in the other direction
        yield column.in_(
            select(Gold.image_id).where(
                Gold.campaign_id == scope.campaign_id, Gold.revoked_at.is_(None)
            )
        )
    if wanted.gold is False:
        yield ~is_gold(scope.campaign_id, column)


def _by_flag(scope: Scope, wanted: ImageFilter, column: Any) -> Iterator[ColumnElement[bool]]:
    if wanted.flagged is not None:  # there are few, as for gold
        flagged = select(ImageFlag.image_id).where(
            ImageFlag.campaign_id == scope.campaign_id, ImageFlag.settled_at.is_(None)
        )
        yield column.in_(flagged) if wanted.flagged else column.not_in(flagged)


def _named(text: str) -> ColumnElement[bool]:
    part = Image.filename.icontains(text, autoescape=True)
    number = read_whole(text)
    return part if number is None or number > MAX_ID else or_(part, Image.id == number)


def _proposed(scope: Scope, column: Any) -> ColumnElement[bool]:
    if scope.run_id is None:
        return false()
    own = aliased(Proposal)  # the statement around it may join this table as well
    return (
        select(own.image_id)
        .where(own.model_run_id == scope.run_id, own.image_id == column)
        .exists()
    )


def _proposes(label: str) -> ColumnElement[bool]:
    """Whether a label is the likeliest one. With a tie no label is (`labels.likeliest_label`)."""
    own = getattr(Proposal, f"p_{label}")
    return and_(*(own > getattr(Proposal, f"p_{other}") for other in LABELS if other != label))


def _within(column: Any, limits: Range) -> Iterator[ColumnElement[bool]]:
    if limits.low is not None:
        yield column >= limits.low
    if limits.high is not None:
        yield column <= limits.high


def _check_range(
    name: str, limits: Range, lowest: float, highest: float
) -> Iterator[Problem | None]:
    for end, value in ((f"{name}_from", limits.low), (f"{name}_to", limits.high)):
        if value is not None:
            yield check_number(end, value, lowest, highest)
    if limits.low is not None and limits.high is not None and limits.low > limits.high:
        yield Problem(
            field=f"{name}_to",
            given=limits.high,
            needed=_("a number that is not below the first"),
        )
