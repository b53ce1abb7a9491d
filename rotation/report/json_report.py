"""The JSON report of a run: what was asked, what was done, with what, and how well it went."""

from __future__ import annotations

import json
import math
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from rotation.imaging.images import save_text

PACKAGES = ("numpy", "torch", "diffusers", "facenet-pytorch", "pillow")


def versions() -> dict[str, str]:
    """Versions of Python and of what a result depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def write_report(report: dict[str, Any], path: Path) -> None:
    """Write a report as JSON that appears complete or not at all; NaN becomes null."""
    save_text(json.dumps(_plain(report), indent=2, ensure_ascii=False) + "\n", path)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return float(f"{value:.6g}") if isinstance(value, float) else value
