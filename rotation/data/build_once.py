"""Data sets that Sidelight makes itself: a folder that is whole or absent, and made once."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rotation.errors import DatasetError

IMAGE_FOLDER = "img_align_celeba"
LANDMARK_NAMES = (
    "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y "
    "leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
)


def make_once(
    target: Path, recipe_name: str, recipe: Mapping[str, Any], write: Callable[[Path], None]
) -> Path:
    """Have `write` fill a folder beside `target`, note the recipe in it, and rename it.

    Nothing is done where `target` holds the recipe already. Raises `DatasetError` where it holds
    something else or cannot be made.
    """
    if _is_there(target, recipe_name, recipe):
        return target
    partial = _make_beside(target)
    try:
        write(partial)
        (partial / recipe_name).write_text(json.dumps(recipe) + "\n", encoding="utf-8")
        partial.chmod(0o755)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _make_beside(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise DatasetError(f"{target}: cannot be made ({error.strerror}).") from None


def _is_there(target: Path, recipe_name: str, recipe: Mapping[str, Any]) -> bool:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    try:
        found = json.loads((target / recipe_name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found == recipe:
        return True
    holds = f"a data set made with {found}" if found else "other files"
    raise DatasetError(
        f"{target} holds {holds}, not the data set asked for ({dict(recipe)}). "
        "Name another folder, or remove this one."
    )
