"""Write docs/reference from the programs, or check that it is current.

.venv/bin/python -m docs.tools.reference            # write: `make reference`
.venv/bin/python -m docs.tools.reference --check    # part of `make lint`
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from docs.tools import sources
from docs.tools.commands import commands_page
from docs.tools.csv_files import CSV_FILES, CsvFile
from docs.tools.pages import ROOT
from docs.tools.tables import cell, table

REFERENCE = ROOT / "docs" / "reference"
NOTE = "<!-- Written by `make reference`; do not edit. -->\n\n"
NEEDED = re.compile(r"^too weak: |^enter |,? (?:is|are) needed")
POSTGRES = "postgresql://HOST/NAME"
FOLDERS = {"SIDELIGHT_IMAGE_ROOTS": "folders, parted by colons"}  # no wrong value tells it
SECRET = "reference-only-0123456789-abcdefghij"


class Recorder(dict[str, str]):
    """An environment that remembers what was asked for, and with which default."""

    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__(given)
        self.defaults: dict[str, str] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """As of a dictionary."""
        self.defaults[name] = default
        return super().get(name, default)


def settings_page() -> str:
    """Every setting with its default and what it allows."""
    with tempfile.TemporaryDirectory() as home:
        on_sqlite = _defaults({"SIDELIGHT_HOME": home})
        on_postgres = _defaults({"SIDELIGHT_HOME": home, "SIDELIGHT_DATABASE_URL": POSTGRES})
        allowed = _allowed(home, on_sqlite)
        rows = []
        for name, default in on_sqlite.items():
            shown = f"`{default.replace(str(Path(home).resolve()), 'SIDELIGHT_HOME')}`"
            if on_postgres[name] != default:
                shown += f"; with PostgreSQL `{on_postgres[name]}`"
            link = f"[`{name}`](../settings.md#{name.lower()})"
            rows.append(
                (
                    link,
                    shown if default else "",
                    cell(allowed.get(name, FOLDERS.get(name, "a folder"))),
                )
            )
    return _page(
        "Settings",
        "Sidelight reads its settings from environment variables when it starts. "
        "[Settings](../settings.md) explains each of them.",
        *table(("variable", "default", "allowed"), rows),
    )


def _defaults(environ: Mapping[str, str]) -> dict[str, str]:
    asked = Recorder(environ)
    sources.load_settings(asked)
    return asked.defaults


def _allowed(home: str, defaults: Mapping[str, str]) -> dict[str, str]:
    """What each setting says when it is given a value that none of them takes."""
    wrong = {**dict.fromkeys(defaults, " "), "SIDELIGHT_HOME": home}
    try:
        sources.load_settings(wrong)
    except sources.ConfigError as error:
        told = re.findall(r"^\s*(\w+)=.*?: (.+)$", str(error), re.MULTILINE)
        return {name: NEEDED.sub("", text).strip() for name, text in told}
    raise AssertionError("no setting refused a blank")


def http_page() -> str:
    """Every route with its method, who may use it, and what it does."""
    with tempfile.TemporaryDirectory() as home:
        environ = {"SIDELIGHT_HOME": home, "SIDELIGHT_SECRET_KEY": SECRET}
        app = sources.create_app(sources.load_settings(environ))
    areas: dict[str, list[Sequence[str]]] = {}
    for rule in app.url_map.iter_rules():
        methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        view = app.view_functions[rule.endpoint]
        row = (
            ", ".join(methods),
            f"`{rule.rule}`",
            _who(sources.roles_of(app, rule.endpoint)),
            cell(_first_line(view, rule.endpoint)),
        )
        area = "files" if rule.endpoint == "static" else _area(view.__module__)
        areas.setdefault(area.replace("_", " "), []).append(row)
    head = ("method", "path", "who", "what it does")
    parts = [
        part
        for area, rows in sorted(areas.items())
        for part in (f"## {area.capitalize()}", *table(head, sorted(rows, key=_by_path)))
    ]
    return _page(
        "HTTP API",
        "The pages of the site and what they ask for. A person signs in by a cookie. Every POST "
        "needs the token against forged requests that the page holds: the field `csrf_token`, or "
        "the header `X-CSRFToken`.\n\n"
        'An error in JSON is `{"ok": false, "error": {"code", "message"}}`. Codes never change. '
        "The message is in the language of the person or of the header `Accept-Language`, so a "
        "program reads the code.",
        *parts,
    )


def _by_path(row: Sequence[str]) -> tuple[str, str]:
    return row[1], row[0]


def _area(module: str) -> str:
    """The area of a module with views: `labeler.web.images` has several of one area."""
    return module.removeprefix("labeler.web.").partition(".")[0]


def _who(roles: frozenset[str] | None) -> str:
    if not roles:
        return "everybody"
    if "annotator" in roles:
        return "everybody with an account"
    return " and ".join(sorted(f"{role}s" for role in roles))


def _first_line(view: Callable[..., object], endpoint: str) -> str:
    if endpoint == "static":
        return "A file of the folder `static`."
    text = (view.__doc__ or "").strip().partition("\n\n")[0]
    if not text:
        raise SystemExit(f"Error: the view {endpoint} has no docstring; say in one line what it is")
    return text


def csv_page() -> str:
    """Every CSV file with its columns."""
    parts = [part for file in CSV_FILES for part in _csv_section(file)]
    return _page(
        "CSV files",
        "All files are UTF-8, with commas, a header line and lines that end in `\\n`. "
        "[Export](../export.md) says more about labels and votes.",
        *parts,
    )


def _csv_section(file: CsvFile) -> list[str]:
    if set(file.columns) != set(file.meanings):
        odd = ", ".join(sorted(set(file.columns) ^ set(file.meanings)))
        raise SystemExit(f"Error: docs/tools/csv_files.py and {file.name} differ in: {odd}")
    rows = [(f"`{name}`", cell(file.meanings[name])) for name in file.columns]
    return [f"## {file.name}", file.purpose, *table(("column", "meaning"), rows)]


def _page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", *parts)) + "\n"


PAGES = {
    "commands.md": commands_page,
    "csv.md": csv_page,
    "http.md": http_page,
    "settings.md": settings_page,
}


def stale(folder: Path) -> list[str]:
    """The pages that are not as the programs would have them now, extra pages included."""
    wrong = [path.name for path in folder.glob("*.md") if path.name not in PAGES]
    for name, write in PAGES.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != NOTE + write():
            wrong.append(name)
    return wrong


def main() -> None:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    if parser.parse_args().check:
        wrong = stale(REFERENCE)
        if wrong:
            raise SystemExit(
                f"docs/reference is not current ({', '.join(wrong)}). Run `make reference`."
            )
        return
    REFERENCE.mkdir(exist_ok=True)
    for name, write in PAGES.items():
        (REFERENCE / name).write_text(NOTE + write(), encoding="utf-8")


if __name__ == "__main__":
    main()
