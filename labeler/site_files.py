"""The folder with `templates`, `static` and `migrations`."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def site_files() -> Path:
    """Return the folder that contains `templates`, `static` and `migrations`.

    In a checkout they are beside the package. In an installed Sidelight they are inside it, because
    a wheel installs only packages.
    """
    return _PACKAGE if (_PACKAGE / "migrations").is_dir() else _PACKAGE.parent
