"""The values that a key of a config may have, and the messages about other values.

A message is one line: the file, the key, the value given, the values allowed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from rotation.diffusion.families import explain
from rotation.errors import ModelError

Config = Mapping[str, Any]
_SHOWN, _NAMED = 80, 3


@dataclass(frozen=True)
class Kind:
    """The values that a key may have: what they are called, and how they are recognised."""

    allowed: str
    accepts: Callable[[Any], bool]


def wrong(path: object, key: str, given: object, allowed: str) -> ModelError:
    """The error about a value: `path` names the file, or the object in Python."""
    return ModelError(f"{path}, key {key!r}: {show(given)} was given; allowed: {allowed}.")


def show(value: object) -> str:
    """A value as text that fits in a message."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def show_name(value: object) -> str:
    """A name as text that fits in a message; without quotes if it has only harmless signs."""
    is_plain = isinstance(value, str) and re.fullmatch(r"\w[\w.-]{,79}", value, re.ASCII)
    return str(value) if is_plain else show(value)


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(show_name, names[:_NAMED])) + more


def check_class(path: object, config: Config, what: str, known: Sequence[str]) -> None:
    """Raise `ModelError` unless the config's class is known; `what` is network or scheduler."""
    kind = config.get("_class_name")
    if kind is None:
        raise ModelError(
            f"{path}, key '_class_name': it is missing; without it nobody knows what the {what} "
            f"does. Allowed: {', '.join(known)}."
        )
    if kind not in known:
        refuse_class(path, "_class_name", what, kind)


def refuse_class(path: object, key: str, what: str, kind: object) -> NoReturn:
    """Raise `ModelError` that says what the class is, and what would help."""
    raise ModelError(f"{path}, key {key!r}: the {what} is a {show_name(kind)}; {explain(kind)}")


def check_keys(
    path: object, config: Config, kinds: Mapping[str, Kind], needed: Collection[str] = ()
) -> None:
    """Raise `ModelError` if a value is not allowed, or one that is needed is missing."""
    for key, kind in kinds.items():
        if key not in config:
            if key in needed:
                raise ModelError(f"{path}, key {key!r}: it is missing; allowed: {kind.allowed}.")
        elif not kind.accepts(config[key]):
            raise wrong(path, key, config[key], kind.allowed)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def whole(low: int, high: int) -> Kind:
    """A whole number from `low` to `high`."""
    return Kind(
        f"a whole number from {low:,} to {high:,}",
        lambda value: _is_whole(value) and low <= value <= high,
    )


def number(low: float, high: float) -> Kind:
    """A finite number from `low` to `high`."""
    return Kind(
        f"a number from {low:g} to {high:g}",
        lambda value: _is_number(value) and low <= value <= high,
    )


def one_of(*known: object) -> Kind:
    """One of these values, of the same type."""
    return Kind(
        ", ".join("null" if value is None else str(value) for value in known),
        lambda value: any(
            value is one or (value == one and type(value) is type(one)) for one in known
        ),
    )


def list_of(kind: Kind, longest: int) -> Kind:
    """A list of at most `longest` values of a kind."""
    return Kind(
        f"a list of 1 to {longest}, each {kind.allowed}",
        lambda value: (
            isinstance(value, list | tuple)
            and 1 <= len(value) <= longest
            and all(map(kind.accepts, value))
        ),
    )


def or_null(kind: Kind) -> Kind:
    """A value of a kind, or null."""
    return Kind(f"null or {kind.allowed}", lambda value: value is None or kind.accepts(value))


BOOLEAN = Kind("true or false", lambda value: isinstance(value, bool))
