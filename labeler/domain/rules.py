"""The rules of a campaign, and which images it is about: plain values, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

ORDERS = ("breadth", "random", "uncertain", "contested", "mixed")
METHODS = ("posterior", "majority")
PROPOSALS = ("mixed", "shown", "hidden")
REFRESH_EVERY = 100  # new votes, at least, before annotator skills and pauses are refreshed
_MAX_VOTES = 99


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is asked of whom, when an image is done, and what people see.

    Attributes:
        order: which images come first (`domain.queueing`).
        method: `posterior` retires an image when its label is probable enough; `majority` after
            `required_votes`, whatever they say.
        required_votes: the fewest votes that make a label.
        vote_cap: `posterior`: with so many votes and no label the image is contested.
        threshold: `posterior`: how probable a label must be, above 0.5.
        use_model: `posterior`: the proposals count as the first opinion.
        named: `posterior`: `required_votes` people must have named just that label; else it is
            enough that so many have voted, and a sure proposal can outweigh a person.
        audit_share: share of the images that get all `vote_cap` votes, to measure the others by.
        proposals: `shown`, `hidden`, or `mixed`: blind for `blind_share` of person and image.
        planted_share: share of the gold images shown with a wrong proposal.
        mirror_views: half of the pictures, drawn by person and image, are shown mirrored.
        gold_rate: share of the hand-outs that are gold images, after the first 20, among which
            there are `gold_first`.
        training: how many gold images a person answers, with feedback, before the work begins.
        pass_share: share of right answers that ends the training.
        min_gold: a person whose accuracy on gold is surely below this is paused.
        retrain_votes: new votes, at least, after which a model is trained anew; 0: never by itself.
        retrain_share: and the share of the votes there were that must be new.

    Raises:
        ValueError: names the rule, what was given and what is allowed.
    """

    order: str = "breadth"
    method: str = "posterior"
    required_votes: int = 1
    vote_cap: int = 7
    threshold: float = 0.9
    use_model: bool = True
    named: bool = True
    audit_share: float = 0.02
    proposals: str = "mixed"
    blind_share: float = 0.25
    planted_share: float = 0.2
    mirror_views: bool = False
    gold_rate: float = 0.1
    gold_first: int = 5
    training: int = 0
    pass_share: float = 0.7
    min_gold: float = 0.6
    retrain_votes: int = 100
    retrain_share: float = 0.2

    def __post_init__(self) -> None:
        _check_word("order", self.order, ORDERS)
        _check_word("method", self.method, METHODS)
        _check_word("proposals", self.proposals, PROPOSALS)
        _check_whole("required_votes", self.required_votes, 1, _MAX_VOTES)
        _check_whole("vote_cap", self.vote_cap, self.required_votes, _MAX_VOTES)
        _check_whole("gold_first", self.gold_first, 0, 20)
        _check_whole("training", self.training, 0, 100)
        _check_whole("retrain_votes", self.retrain_votes, 0, 1_000_000)
        _check_number("threshold", self.threshold, 0.5, 0.9999)
        for name in ("audit_share", "blind_share", "planted_share", "gold_rate", "pass_share",
                     "min_gold", "retrain_share"):  # fmt: skip
            _check_number(name, getattr(self, name), 0.0, 1.0)
        for name in ("use_model", "named", "mirror_views"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; yes or no is needed")

    @property
    def votes_needed(self) -> int:
        """The most votes that an image is asked for."""
        return self.required_votes if self.method == "majority" else self.vote_cap

    def blind_to_proposals(self) -> float:
        """The share of person and image that is shown no proposal."""
        return {"shown": 0.0, "hidden": 1.0, "mixed": self.blind_share}[self.proposals]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rules:
        """From JSON; what is not given has its default.

        Raises:
            ValueError: an unknown name or a value that is not allowed.
        """
        return cls(**_known(cls, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which images of the data set a campaign is about; all by default.

    Attributes:
        partitions: CelebA's 0 train, 1 valid, 2 test; empty: all, also images without one.
        attributes: by name, each true or false; all must hold.
        sample: so many of these images at random; None: all.
        seed: of the sample.
        filenames: these and no others; None: all.
    """

    partitions: tuple[int, ...] = ()
    attributes: dict[str, bool] = field(default_factory=dict)
    sample: int | None = None
    seed: int = 0
    filenames: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "partitions", tuple(sorted(set(self.partitions))))
        for partition in self.partitions:
            _check_whole("partitions", partition, 0, 9)
        if self.sample is not None:
            _check_whole("sample", self.sample, 1, 10**9)
        _check_whole("seed", self.seed, 0, 2**31 - 1)
        if self.filenames is not None:
            object.__setattr__(self, "filenames", tuple(dict.fromkeys(self.filenames)))
            if not self.filenames:
                raise ValueError("filenames: at least one is needed")

    @property
    def is_everything(self) -> bool:
        """No image is left out, so that images imported later belong as well."""
        return self == Selection(seed=self.seed)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Selection:
        """From JSON; raises `ValueError` as `Rules.from_dict` does."""
        known = _known(cls, values)
        known["partitions"] = tuple(known.get("partitions", ()))
        if known.get("filenames") is not None:
            known["filenames"] = tuple(known["filenames"])
        return cls(**known)


def _known(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = [each.name for each in fields(cls)]
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: unknown; there are {', '.join(names)}")
    return dict(values)


def _check_word(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed are {', '.join(allowed)}")


def _check_whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; a whole number from {low} to {high} is needed")


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; a number from {low:g} to {high:g} is needed")
