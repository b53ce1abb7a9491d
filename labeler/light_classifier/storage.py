"""Store a model in a folder: its numbers in `model.safetensors`, a description in `model.json`.

Both formats contain only data, so loading a model never runs code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save, save_file

from labeler.light_classifier.mirror_logistic import MirrorLogistic
from labeler.light_classifier.training import METHOD, METHODS
from rotation.file_locks import own_folder
from rotation.reading import read_bytes, read_json

WEIGHTS_FILE, DESCRIPTION_FILE = "model.safetensors", "model.json"


def save_model(folder: Path, model: MirrorLogistic, description: dict[str, Any]) -> None:
    """Write a model into a folder, which is created if necessary.

    Parameters:
        description: JSON values; `method` is added.

    Raises:
        OSError: the folder cannot be written.
        DatasetError: another program writes into it.
    """
    text = json.dumps({"method": METHOD, **description}, indent=2, sort_keys=True)
    with own_folder(folder):
        save_file(_arrays(model), folder / WEIGHTS_FILE)
        (folder / DESCRIPTION_FILE).write_text(text + "\n", encoding="utf-8")


def load_model(folder: Path) -> tuple[MirrorLogistic, dict[str, Any]]:
    """Read a model and its description from a folder.

    Raises:
        ValueError: the folder has no model, has one of another method, or is damaged.
    """
    description = _read_description(folder / DESCRIPTION_FILE)
    method = description.get("method")
    if method not in METHODS:
        known = " and ".join(repr(each) for each in METHODS)
        raise ValueError(
            f"{folder} holds a model of method {method!r}; this program reads {known}. Fit it anew."
        )
    try:
        arrays = load(read_bytes(folder / WEIGHTS_FILE))
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{folder / WEIGHTS_FILE}: cannot be read ({error})") from None
    try:
        return _model(arrays, method), description
    except ValueError as error:
        raise ValueError(f"{folder / WEIGHTS_FILE}: {error}") from None


def model_to_bytes(model: MirrorLogistic) -> bytes:
    """Return the numbers of a model as safetensors, without a description."""
    data: bytes = save(_arrays(model))
    return data


def model_from_bytes(data: bytes, method: str) -> MirrorLogistic:
    """Read what `model_to_bytes` wrote, for a model of this method.

    Raises:
        ValueError: the data is something else.
    """
    try:
        return _model(load(data), method)
    except SafetensorError as error:
        raise ValueError(f"cannot be read ({error})") from None


def _arrays(model: MirrorLogistic) -> dict[str, npt.NDArray[np.float64]]:
    # In C order, because safetensors ignores the strides of a view.
    return {f.name: np.array(getattr(model, f.name), float, order="C") for f in fields(model)}


def _model(arrays: Mapping[str, npt.NDArray[np.float64]], method: str) -> MirrorLogistic:
    n_odd = METHODS[method].n_odd
    shapes: dict[str, tuple[int, ...]] = {"side_bias": (), "center_bias": ()}
    shapes |= {"odd": (n_odd,), "side": (2 * n_odd,), "center": (2 * n_odd,)}
    if {name: array.shape for name, array in arrays.items()} != shapes:
        raise ValueError(f"not the arrays of a {method} model")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("holds NaN or infinity")
    odd, side, center = (arrays[name] for name in ("odd", "side", "center"))
    biases = float(arrays["side_bias"]), float(arrays["center_bias"])
    return MirrorLogistic(odd, side, center, *biases)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = read_json(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); is it a model?") from None
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(description, dict):
        raise ValueError(f"{path}: not a JSON object")
    return description
