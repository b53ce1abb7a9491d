"""Building a data set once: its folder is either complete or absent."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rotation.data.celeba import LANDMARK_COLUMNS
from rotation.data.image_source import CELEBA_FOLDER
from rotation.errors import DatasetError
from rotation.reading import read_json

IMAGE_FOLDER = CELEBA_FOLDER
LANDMARK_NAMES = " ".join(LANDMARK_COLUMNS)


def build_once(
    target: Path, recipe_name: str, recipe: Mapping[str, Any], write: Callable[[Path], None]
) -> Path:
    """Build a data set in `target`, unless the same one is there already.

    Parameters:
        recipe_name: the file in the data set that holds the recipe.
        recipe: everything that decides the contents of the data set.
        write: fills the folder that it is given; the folder is renamed to `target` afterwards.

    Returns:
        `target`.

    Raises:
        DatasetError: `target` holds something else, or cannot be made.
    """
    if _is_built(target, recipe_name, recipe):
        return target
    partial = _make_partial_folder(target)
    try:
        write(partial)
        (partial / recipe_name).write_text(json.dumps(recipe) + "\n", encoding="utf-8")
        partial.chmod(0o755)
        _publish(partial, target, lambda: _is_built(target, recipe_name, recipe))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _publish(partial: Path, target: Path, is_built: Callable[[], bool]) -> None:
    """Give the complete folder its name, unless another process has just built the same."""
    try:
        partial.replace(target)
    except OSError as error:
        if not is_built():
            raise DatasetError(f"{target}: cannot be made ({error.strerror}).") from None


def _make_partial_folder(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise DatasetError(f"{target}: cannot be made ({error.strerror}).") from None


def _is_built(target: Path, recipe_name: str, recipe: Mapping[str, Any]) -> bool:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    try:
        found = read_json(target / recipe_name)
    except (OSError, ValueError):
        found = None
    if found == recipe:
        return True
    holds = f"a data set made with {found}" if found else "other files"
    raise DatasetError(
        f"{target} holds {holds}, not the data set asked for ({dict(recipe)}). "
        "Name another folder, or remove this one."
    )
