"""Errors of rules and image selections: the field, what was given, what is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark

YES_OR_NO = mark("yes or no")
WHOLE_NUMBER = mark("a whole number")
NUMBER = mark("a number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a value is not allowed. Pages and commands make their messages from it.

    Attributes:
        field: the rule, or the part of a selection.
        given: the value.
        needed: what is needed, without bounds, such as `a whole number`, in English.
        bounds: the lowest and the highest value allowed, in the unit of the value.
        allowed: the words allowed, if there is a list of them.
    """

    field: str
    given: Any
    needed: str = ""
    bounds: tuple[float, float] | None = None
    allowed: tuple[str, ...] = ()

    def requirement(self, scale: float = 1) -> str:
        """Say what is needed.

        Parameters:
            scale: factor of the bounds, 100 if the value is shown in percent.
        """
        if self.allowed:
            return _("allowed are %(words)s", words=", ".join(self.allowed))
        needed = _(self.needed)
        if self.bounds is None:
            return _("%(needed)s is needed", needed=needed)
        low, high = (f"{scale * bound:.10g}" for bound in self.bounds)
        return _("%(needed)s from %(low)s to %(high)s is needed", needed=needed, low=low, high=high)

    def sentence(self, scale: float = 1) -> str:
        """Return `requirement` as a sentence."""
        text = self.requirement(scale)
        return f"{text[0].upper()}{text[1:]}."

    def __str__(self) -> str:
        return _(
            "%(field)s is %(given)r; %(requirement)s",
            field=self.field,
            given=self.given,
            requirement=self.requirement(),
        )


class RuleError(ValueError):
    """Rules or a selection with errors. `problems` contains all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def refuse_problems(found: Iterator[Problem | None]) -> None:
    """Raise a `RuleError` with the problems, if there are any."""
    problems = [problem for problem in found if problem is not None]
    if problems:
        raise RuleError(problems)


def read_whole(text: str) -> int | None:
    """Read a whole number, 0 or larger, from outside; None if it is none or has over 19 digits.

    Python refuses to read thousands of digits, and digits of other scripts are a mistake.
    """
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 19 else None


def known_fields(cls: type, what: str, values: Mapping[str, Any]) -> dict[str, Any]:
    names = tuple(each.name for each in fields(cls))
    unknown = sorted(set(values) - set(names))
    refuse_problems(Problem(field=what, given=name, allowed=names) for name in unknown)
    return dict(values)


def check_word(name: str, value: Any, allowed: tuple[str, ...]) -> Problem | None:
    return None if value in allowed else Problem(field=name, given=value, allowed=allowed)


def check_yes_no(name: str, value: Any) -> Problem | None:
    return None if isinstance(value, bool) else Problem(field=name, given=value, needed=YES_OR_NO)


def check_whole(name: str, value: Any, low: int, high: int) -> Problem | None:
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return None
    return Problem(field=name, given=value, needed=WHOLE_NUMBER, bounds=(low, high))


def check_number(name: str, value: Any, low: float, high: float) -> Problem | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return None
    return Problem(field=name, given=value, needed=NUMBER, bounds=(low, high))
