"""The rules of a campaign, and which images it is about: plain values, checked once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

ORDERS = ("breadth", "random", "uncertain", "contested", "mixed")
METHODS = ("posterior", "majority")
PROPOSALS = ("mixed", "shown", "hidden")
REFRESH_EVERY = 100  # new votes, at least, before annotator skills and pauses are refreshed
_MAX_VOTES = 99
_SHARES = (
    "audit_share",
    "blind_share",
    "planted_share",
    "gold_rate",
    "pass_share",
    "min_gold",
    "retrain_share",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a value cannot be. Messages are made of it where they are shown, never read back.

    Attributes:
        field: the rule, or the part of a selection.
        given: the value.
        needed: what is needed, without its bounds: `a whole number`.
        bounds: the lowest and the highest value allowed, in the unit of the value.
        allowed: the words allowed, where there is a list of them.
    """

    field: str
    given: Any
    needed: str = ""
    bounds: tuple[float, float] | None = None
    allowed: tuple[str, ...] = ()

    def requirement(self, scale: float = 1) -> str:
        """What is needed, in words.

        Parameters:
            scale: multiplies the bounds: 100 where the value is shown in percent.
        """
        if self.allowed:
            return f"allowed are {', '.join(self.allowed)}"
        if self.bounds is None:
            return f"{self.needed} is needed"
        low, high = (f"{scale * bound:.10g}" for bound in self.bounds)
        return f"{self.needed} from {low} to {high} is needed"

    def sentence(self, scale: float = 1) -> str:
        """`requirement` as a sentence of its own."""
        text = self.requirement(scale)
        return f"{text[0].upper()}{text[1:]}."

    def __str__(self) -> str:
        return f"{self.field} is {self.given!r}; {self.requirement()}"


class RuleError(ValueError):
    """Rules, or a selection, that cannot be: `problems` has all that is wrong."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


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
        RuleError: with all rules that are wrong.
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
        _refuse(self._problems())

    def _problems(self) -> Iterator[Problem | None]:
        yield _check_word("order", self.order, ORDERS)
        yield _check_word("method", self.method, METHODS)
        yield _check_word("proposals", self.proposals, PROPOSALS)
        fewest = _check_whole("required_votes", self.required_votes, 1, _MAX_VOTES)
        yield fewest
        at_least = self.required_votes if fewest is None else 1
        yield _check_whole("vote_cap", self.vote_cap, at_least, _MAX_VOTES)
        yield _check_whole("gold_first", self.gold_first, 0, 20)
        yield _check_whole("training", self.training, 0, 100)
        yield _check_whole("retrain_votes", self.retrain_votes, 0, 1_000_000)
        yield _check_number("threshold", self.threshold, 0.5, 0.9999)
        for name in _SHARES:
            yield _check_number(name, getattr(self, name), 0.0, 1.0)
        for name in ("use_model", "named", "mirror_views"):
            yield _check_yes_no(name, getattr(self, name))

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
            RuleError: an unknown name or a value that is not allowed.
        """
        return cls(**_known(cls, "rule", values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which images of the data set a campaign is about; all by default.

    Attributes:
        partitions: CelebA's 0 train, 1 valid, 2 test; empty: all, also images without one.
        attributes: by name, each true or false; all must hold.
        sample: so many of these images at random; None: all.
        seed: of the sample.
        filenames: these and no others; None: all.

    Raises:
        RuleError: with all parts that are wrong.
    """

    partitions: tuple[int, ...] = ()
    attributes: dict[str, bool] = field(default_factory=dict)
    sample: int | None = None
    seed: int = 0
    filenames: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "partitions", tuple(sorted(set(self.partitions))))
        if self.filenames is not None:
            object.__setattr__(self, "filenames", tuple(dict.fromkeys(self.filenames)))
        _refuse(self._problems())

    def _problems(self) -> Iterator[Problem | None]:
        for partition in self.partitions:
            yield _check_whole("partitions", partition, 0, 9)
        if self.sample is not None:
            yield _check_whole("sample", self.sample, 1, 10**9)
        yield _check_whole("seed", self.seed, 0, 2**31 - 1)
        if self.filenames == ():
            yield Problem(field="filenames", given=[], needed="at least one name")

    @property
    def is_everything(self) -> bool:
        """No image is left out, so that images imported later belong as well."""
        return self == Selection(seed=self.seed)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Selection:
        """From JSON; raises `RuleError` as `Rules.from_dict` does."""
        known = _known(cls, "part of a selection", values)
        known["partitions"] = tuple(known.get("partitions", ()))
        if known.get("filenames") is not None:
            known["filenames"] = tuple(known["filenames"])
        return cls(**known)


def _refuse(found: Iterator[Problem | None]) -> None:
    problems = [problem for problem in found if problem is not None]
    if problems:
        raise RuleError(problems)


def _known(cls: type, what: str, values: Mapping[str, Any]) -> dict[str, Any]:
    names = tuple(each.name for each in fields(cls))
    unknown = sorted(set(values) - set(names))
    _refuse(Problem(field=what, given=name, allowed=names) for name in unknown)
    return dict(values)


def _check_word(name: str, value: Any, allowed: tuple[str, ...]) -> Problem | None:
    return None if value in allowed else Problem(field=name, given=value, allowed=allowed)


def _check_yes_no(name: str, value: Any) -> Problem | None:
    return None if isinstance(value, bool) else Problem(field=name, given=value, needed="yes or no")


def _check_whole(name: str, value: Any, low: int, high: int) -> Problem | None:
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return None
    return Problem(field=name, given=value, needed="a whole number", bounds=(low, high))


def _check_number(name: str, value: Any, low: float, high: float) -> Problem | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return None
    return Problem(field=name, given=value, needed="a number", bounds=(low, high))
