"""Where the files that are no modules lie: `templates`, `static` and `migrations`."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def site_files() -> Path:
    """The folder that holds `templates`, `static` and `migrations`.

    They lie beside the package in a checkout, and inside it where Sidelight is installed: a wheel
    puts nothing into the environment but packages.
    """
    return _PACKAGE if (_PACKAGE / "migrations").is_dir() else _PACKAGE.parent
