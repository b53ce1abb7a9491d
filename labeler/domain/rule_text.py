"""Rules as people write them, in a form or on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from labeler.domain.rules import Rules

_YES_NO = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_KINDS = {field.name: type(field.default) for field in fields(Rules)}


class RuleError(ValueError):
    """Rules that cannot be. `problems`: what is needed, by the name of the rule."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems.items()))
        self.problems = dict(problems)


def read_rules(texts: Mapping[str, str], base: Rules | None = None) -> Rules:
    """Rules from text: words, whole numbers, numbers (`0.25` or `25 %`), `yes` or `no`.

    Parameters:
        base: has the rules that are not given; default: the defaults.

    Raises:
        RuleError: all that are wrong, each with what is allowed.
    """
    values = (base or Rules()).as_dict()
    problems: dict[str, str] = {}
    for name, text in texts.items():
        if name not in _KINDS:
            problems[name] = f"there is no such rule; there are {', '.join(_KINDS)}"
            continue
        try:
            values[name] = read_rule(name, text)
        except ValueError as error:
            problems[name] = str(error)
    rules = _settle(values, problems)
    if problems:
        raise RuleError(problems)
    assert rules is not None
    return rules


def read_rule(name: str, text: str) -> Any:
    """The value of one rule, of the type that it has; its range is not looked at.

    Raises:
        ValueError: says what is needed.
    """
    kind, text = _KINDS[name], text.strip()
    if kind is bool:
        if text.lower() not in _YES_NO:
            raise ValueError("yes or no is needed")
        return _YES_NO[text.lower()]
    if kind is int:
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise ValueError("a whole number is needed")
        return int(text)
    return _read_number(text) if kind is float else text


def write_rule(value: Any) -> str:
    """The text that `read_rule` reads as this value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _read_number(text: str) -> float:
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise ValueError("a number is needed") from None
    return round(number / 100, 10) if text.endswith("%") else number


def _settle(values: dict[str, Any], problems: dict[str, str]) -> Rules | None:
    """The rules, if they can be; else the problems of all of them, one after the other."""
    defaults = Rules().as_dict()
    while True:
        try:
            return Rules.from_dict(values)
        except ValueError as error:
            name, _, needed = str(error).partition(" is ")
            if name in problems:
                return None
            problems[name] = needed.partition("; ")[2]
            values[name] = defaults[name]
