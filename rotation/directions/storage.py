"""Named directions on disk: arrays as safetensors, all other values as JSON.

Every field of `Direction` is written by its type, so a new field needs no new code. Nothing is
unpickled.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from rotation.directions.direction import Direction
from rotation.errors import ModelError
from rotation.reading import read_bytes, read_json

ARRAYS = Path("directions/directions.safetensors")
FIELDS = Path("directions/directions.json")


def save_directions(folder: Path, directions: Mapping[str, Direction], model: str) -> None:
    """Write named directions into a model folder.

    Parameters:
        folder: the model folder.
        directions: the directions by name.
        model: the fingerprint of the model's weights. A direction is valid for these alone.
    """
    arrays: dict[str, np.ndarray] = {}
    rest: dict[str, dict[str, Any]] = {}
    for name, direction in directions.items():
        rest[name] = {}
        for field in dataclasses.fields(direction):
            value = getattr(direction, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"{name}.{field.name}"] = np.ascontiguousarray(value)
            else:
                rest[name][field.name] = _plain(value, field.name)
    (folder / FIELDS).parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, folder / ARRAYS)
    (folder / ARRAYS).chmod(0o644)  # safetensors makes it readable by its owner only
    text = json.dumps({"model": model, "directions": rest}, indent=2, allow_nan=False)
    (folder / FIELDS).write_text(text + "\n", "utf-8")


def load_directions(folder: Path, model: str) -> dict[str, Direction]:
    """Read the directions saved in a model folder; empty if there are none.

    Raises:
        ModelError: the files are damaged, or were made for other weights than `model`.
    """
    if not (folder / FIELDS).is_file():
        return {}
    try:
        found = read_json(folder / FIELDS)
        arrays = load(read_bytes(folder / ARRAYS))
        made_for, rest = found["model"], dict(found["directions"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"{folder / FIELDS}: no readable directions ({error}).") from None
    if made_for != model:
        raise ModelError(
            f"{folder}: the directions were made for other weights than those beside them; "
            "fit them anew with this model."
        )
    return {name: _direction(name, values, arrays, folder) for name, values in rest.items()}


def _direction(
    name: str, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], folder: Path
) -> Direction:
    own: dict[str, Any] = {
        key.rpartition(".")[2]: array
        for key, array in arrays.items()
        if key.rpartition(".")[0] == name
    }
    try:
        return Direction(**{key: _value(value) for key, value in values.items()}, **own)
    except TypeError as error:
        raise ModelError(f"{folder / FIELDS}: direction {name!r} does not fit: {error}") from None


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value(item) for item in value)
    return float("nan") if value == "nan" else value


def _plain(value: Any, field: str) -> Any:
    """A value in JSON types; NaN becomes the string "nan"."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and np.isnan(value):
        return "nan"
    if isinstance(value, tuple | list):
        return [_plain(item, field) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ModelError(f"Field {field!r} of a direction, a {type(value).__name__}, cannot be saved.")
