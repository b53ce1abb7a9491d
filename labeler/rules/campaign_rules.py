"""The rules of a campaign: plain values, checked once, read from and written as text.

Forms and the command line give rules as text (`read_rules`); the database keeps them as JSON
(`Rules.as_dict`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from labeler.rules.validation import (
    Problem,
    RuleError,
    check_number,
    check_whole,
    check_word,
    check_yes_no,
    known_fields,
    refuse_problems,
)

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
class Rules:
    """What is asked of whom, when an image is done, and what people see.

    Attributes:
        order: which images come first (`consensus.priority`).
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
        refuse_problems(self._problems())

    def _problems(self) -> Iterator[Problem | None]:
        yield check_word("order", self.order, ORDERS)
        yield check_word("method", self.method, METHODS)
        yield check_word("proposals", self.proposals, PROPOSALS)
        fewest = check_whole("required_votes", self.required_votes, 1, _MAX_VOTES)
        yield fewest
        at_least = self.required_votes if fewest is None else 1
        yield check_whole("vote_cap", self.vote_cap, at_least, _MAX_VOTES)
        yield check_whole("gold_first", self.gold_first, 0, 20)
        yield check_whole("training", self.training, 0, 100)
        yield check_whole("retrain_votes", self.retrain_votes, 0, 1_000_000)
        yield check_number("threshold", self.threshold, 0.5, 0.9999)
        for name in _SHARES:
            yield check_number(name, getattr(self, name), 0.0, 1.0)
        for name in ("use_model", "named", "mirror_views"):
            yield check_yes_no(name, getattr(self, name))

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
        return cls(**known_fields(cls, "rule", values))


_YES_NO = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_KINDS = {field.name: type(field.default) for field in fields(Rules)}
_NEEDED = {bool: "yes or no", int: "a whole number", float: "a number"}


def read_rules(texts: Mapping[str, str], base: Rules | None = None) -> Rules:
    """Rules from text: words, whole numbers, numbers (`0.25` or `25 %`), `yes` or `no`.

    Parameters:
        base: has the rules that are not given; default: the defaults.

    Raises:
        RuleError: all that are wrong, each with the text that was given and what is needed.
    """
    values = (base or Rules()).as_dict()
    unreadable = {}
    for name, text in texts.items():
        try:
            values[name] = read_rule(name, text)
        except RuleError as error:
            unreadable[name] = error.problems
    try:
        rules = Rules.from_dict(values)
    except RuleError as error:
        out_of_range = [_as_written(one, texts) for one in error.problems]
    else:
        out_of_range = []
    problems = [one for found in unreadable.values() for one in found]
    problems += [one for one in out_of_range if one.field not in unreadable]
    if problems:
        raise RuleError(problems)
    return rules


def _as_written(problem: Problem, texts: Mapping[str, str]) -> Problem:
    return replace(problem, given=texts.get(problem.field, problem.given))


def read_rule(name: str, text: str) -> Any:
    """The value of one rule, of the type that it has; its range is not looked at.

    Raises:
        RuleError: no such rule, or a text that is no value of its type.
    """
    if name not in _KINDS:
        raise RuleError([Problem(field="rule", given=name, allowed=tuple(_KINDS))])
    kind = _KINDS[name]
    value = _READERS[kind](text.strip())
    if value is None:
        raise RuleError([Problem(field=name, given=text, needed=_NEEDED[kind])])
    return value


def write_rule(value: Any) -> str:
    """The text that `read_rule` reads as this value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _read_yes_no(text: str) -> bool | None:
    return _YES_NO.get(text.lower())


def _read_whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _read_number(text: str) -> float | None:
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        return None
    return round(number / 100, 10) if text.endswith("%") else number


_READERS: dict[type, Callable[[str], Any]] = {
    bool: _read_yes_no,
    int: _read_whole,
    float: _read_number,
    str: str,
}
