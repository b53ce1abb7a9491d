"""Find the files of weights beside a network's config: one, or shards, or a variant of either.

Only safetensors are read. Anything else that holds weights is named, with the way to convert it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from rotation.diffusion.config_kinds import listed, show, show_name
from rotation.errors import ModelError
from rotation.reading import open_regular, read_json

STEM = "diffusion_pytorch_model"
"""How diffusers names the weights of a network."""

MAX_INDEX_BYTES = 64 << 20

_LFS = b"version https://git-lfs"
_VARIANT = re.compile(rf"{STEM}\.(?P<whole>[\w-]+)\.safetensors")
_SHARDED_VARIANT = re.compile(rf"{STEM}\.safetensors\.index\.(?P<sharded>[\w-]+)\.json")
_SHARD = re.compile(r".*-\d{5}-of-\d{5}.*\.safetensors")
_OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5", ".onnx", ".gguf")


def find_weights(folder: Path, variant: str | None = None) -> tuple[Path, ...]:
    """The files of weights: one, or several shards sorted by name.

    Without a `variant`, the weights without one are taken, as diffusers does. If there are none,
    the only variant is taken.

    Raises:
        ModelError: there are no weights, several variants, or an index that names other folders.
            The message says what lies there instead.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error.strerror}.") from None
    found = {name for name in names if os.path.isfile(folder / name)}
    variants = sorted(_variants(found))
    files = _named(folder, found, variant or "")
    if files is None and variant is None and len(variants) == 1:
        files = _named(folder, found, variants[0])
    if files is not None:
        return files
    if variant is None and len(variants) > 1:
        raise ModelError(
            f"{folder} has weights in several variants: {listed(variants)}. Remove all but one, or "
            f"rename the file of one to {STEM}.safetensors; in Python, give variant=."
        )
    raise ModelError(_missing(folder, names, variants, variant))


def refuse_pointer(path: Path) -> None:
    """Raise `ModelError` if a file cannot be read, or is a pointer of Git LFS."""
    try:
        with open_regular(path) as file:
            start = file.read(len(_LFS))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from None
    if start == _LFS:
        raise ModelError(
            f"{path} is a pointer of Git LFS, not the file; fetch it with `git lfs pull`."
        )


def _named(folder: Path, found: set[str], variant: str) -> tuple[Path, ...] | None:
    """The weights of a variant, "" for those without one; None if there are none."""
    dotted = f".{variant}" if variant else ""
    index = f"{STEM}.safetensors.index{dotted}.json"
    if index in found:
        return _shards(folder / index)
    whole = f"{STEM}{dotted}.safetensors"
    return (folder / whole,) if whole in found else None


def _variants(found: set[str]) -> set[str]:
    matches = [
        _SHARDED_VARIANT.fullmatch(name) or _VARIANT.fullmatch(name)
        for name in found
        if not _SHARD.fullmatch(name)
    ]
    return {match[1] for match in matches if match}


def _shards(index: Path) -> tuple[Path, ...]:
    try:
        names = set(read_json(index, MAX_INDEX_BYTES)["weight_map"].values())
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} cannot be read: {error!r}") from error
    for name in names or {None}:
        if not isinstance(name, str) or not re.fullmatch(r"[\w-][\w.-]*\.safetensors", name):
            named = show(name) if names else "no file"
            raise ModelError(f"{index} names {named}; shards are .safetensors files beside it.")
    for name in sorted(names):
        if not os.path.isfile(index.parent / name):
            raise ModelError(f"{index.parent / name} is missing, which {index.name} names.")
    return tuple(index.parent / name for name in sorted(names))


def _missing(folder: Path, names: list[str], variants: list[str], variant: str | None) -> str:
    """Says which weights are missing, what lies there, and what to do."""
    message = f"{folder / STEM}.safetensors is missing"
    if variant is not None:
        there = listed(variants) if variants else "none"
        message = f"{folder} has no weights of the variant {show_name(variant)}; variants: {there}"
    elif f"{STEM}.safetensors" in names:
        message = f"{folder / STEM}.safetensors is no file, or a link that leads nowhere"
        return f"{message}. Copy the weights there."
    shards = [name for name in names if _SHARD.fullmatch(name)]
    others = [name for name in names if name.endswith((*_OTHER_WEIGHTS, ".safetensors"))]
    if shards and variant is None:
        return f"{message}. There are shards ({listed(shards)}), but not their .index.json."
    pickles = [name for name in others if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    if pickles:
        return (
            f"{message}; there is {listed(pickles)}. Only safetensors are read, never pickles, "
            "which can run code. If you trust the file, convert it with diffusers: "
            "DDPMPipeline.from_pretrained(FOLDER, use_safetensors=False).save_pretrained(NEW)."
        )
    there = f"; there is {listed(others)}" if others else ""
    return f"{message}{there}. Copy the weights there; only safetensors are read, never pickles."
