"""The rules of a campaign: their values, their limits, and how to read and write them.

Forms and the command line give rules as text (`read_rules`). The database stores them as JSON
(`Rules.as_dict`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from labeler.rules.validation import (
    NUMBER,
    WHOLE_NUMBER,
    YES_OR_NO,
    Problem,
    RuleError,
    check_number,
    check_whole,
    check_word,
    check_yes_no,
    known_fields,
    read_whole,
    refuse_problems,
)

ORDERS = ("breadth", "random", "uncertain", "contested", "mixed")
METHODS = ("posterior", "majority")
PROPOSALS = ("mixed", "shown", "hidden")
REFRESH_EVERY = 100  # smallest number of new votes for a refresh of skills and pauses
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
    """Which images people get, what they see, and when an image is finished.

    Attributes:
        order: which images come first (`consensus.priority`).
        method: `posterior` finishes an image when a label is probable enough. `majority` finishes
            it after `required_votes` votes.
        required_votes: the smallest number of votes for a label.
        vote_cap: for `posterior`: an image with so many votes and no label is contested.
        threshold: for `posterior`: the probability that a label needs, above 0.5.
        use_model: for `posterior`: the model's proposal is the prior.
        named: for `posterior`: `required_votes` people must have named the label itself. Otherwise
            any votes count, and a certain proposal can outweigh a person.
        audit_share: share of the images that get all `vote_cap` votes, to measure the others.
        proposals: `shown`, `hidden`, or `mixed`. Mixed hides them for `blind_share` of the pairs of
            person and image.
        planted_share: share of the gold questions shown with an inserted wrong suggestion.
        mirror_views: half of the images, drawn by person and image, are shown mirrored.
        gold_rate: share of gold questions among the assigned images after the first 20.
        gold_first: number of gold questions among the first 20 images.
        training: number of gold questions in a round of the qualification; 0: no qualification.
        tries: how often an exercise of the qualification can be answered, 1 or 2. It is right if
            the last try is.
        pass_share: share of right answers that passes the qualification.
        min_gold: people are paused if their accuracy on gold is clearly below this.
        retrain_votes: smallest number of new votes for another training of the model; 0: trains
            only on request.
        retrain_share: smallest number of new votes, as a share of the votes so far.

    Raises:
        RuleError: rules are wrong. It contains all of them.
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
    tries: int = 1
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
        yield check_whole("tries", self.tries, 1, 2)
        yield check_whole("retrain_votes", self.retrain_votes, 0, 1_000_000)
        yield check_number("threshold", self.threshold, 0.5, 0.9999)
        for name in _SHARES:
            yield check_number(name, getattr(self, name), 0.0, 1.0)
        for name in ("use_model", "named", "mirror_views"):
            yield check_yes_no(name, getattr(self, name))

    @property
    def votes_needed(self) -> int:
        """The largest number of votes that an image can get."""
        return self.required_votes if self.method == "majority" else self.vote_cap

    def blind_to_proposals(self) -> float:
        """Return the share of pairs of person and image without a suggestion."""
        return {"shown": 0.0, "hidden": 1.0, "mixed": self.blind_share}[self.proposals]

    def as_dict(self) -> dict[str, Any]:
        """Return the rules as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rules:
        """Return rules from JSON values. Missing rules get their defaults.

        Raises:
            RuleError: a name is unknown, or a value is not allowed.
        """
        return cls(**known_fields(cls, "rule", values))


_YES_NO = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_KINDS = {field.name: type(field.default) for field in fields(Rules)}
_NEEDED = {bool: YES_OR_NO, int: WHOLE_NUMBER, float: NUMBER}


def read_rules(texts: Mapping[str, str], base: Rules | None = None) -> Rules:
    """Read rules from texts: words, whole numbers, numbers (`0.25` or `25 %`), `yes` or `no`.

    Parameters:
        texts: by name of the rule.
        base: the values of rules that are not given; default: the defaults.

    Raises:
        RuleError: rules are wrong. It contains all of them, with what was given and what is
            needed.
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
    """Read the value of one rule. Its type is checked, its range is not.

    Raises:
        RuleError: the rule is unknown, or the text has another type.
    """
    if name not in _KINDS:
        raise RuleError([Problem(field="rule", given=name, allowed=tuple(_KINDS))])
    kind = _KINDS[name]
    value = _READERS[kind](text.strip())
    if value is None:
        raise RuleError([Problem(field=name, given=text, needed=_NEEDED[kind])])
    return value


def write_rule(value: Any) -> str:
    """Write a value as a text that `read_rule` reads."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _read_yes_no(text: str) -> bool | None:
    return _YES_NO.get(text.lower())


def _read_number(text: str) -> float | None:
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        return None
    return round(number / 100, 10) if text.endswith("%") else number


_READERS: dict[type, Callable[[str], Any]] = {
    bool: _read_yes_no,
    int: read_whole,
    float: _read_number,
    str: str,
}
