"""Rules as people write them, in a form or on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from labeler.domain.rules import Problem, RuleError, Rules

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
