"""The generated reference: complete, and known to be stale when it is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from docs.tools import reference, sources
from docs.tools.commands import commands_page
from docs.tools.csv_files import CSV_FILES

ROOT = Path(__file__).resolve().parents[2]


def command_paths(group: click.Group, path: tuple[str, ...] = ()) -> list[str]:
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        found.append(" ".join((*path, name)))
        if isinstance(command, click.Group):
            found += command_paths(command, (*path, name))
    return found


def test_every_command_has_a_section_with_its_options_and_an_example() -> None:
    page = commands_page()
    assert re.findall(r"^#+ `(.+)`$", page, re.MULTILINE) == command_paths(sources.cli)
    (section,) = re.findall(r"^### `export labels`\n(.*?)^#", page, re.MULTILINE | re.DOTALL)
    assert "python manage.py export labels [OPTIONS]" in section
    assert "`--precision " in section
    assert "python manage.py export labels --out labels.csv --with-proposals" in section


def test_defaults_are_told_once() -> None:
    lines = [line for line in commands_page().splitlines() if line.startswith("| `--")]
    assert any("[default: auto]" in line for line in lines)
    assert [line for line in lines if line.count("[default:") > 1] == []


def test_every_setting_has_its_default_and_its_range() -> None:
    page = reference.settings_page()
    documented = (ROOT / "docs" / "settings.md").read_text()
    names = set(re.findall(r"^## `(SIDELIGHT_\w+)`", documented, re.MULTILINE))
    assert set(re.findall(r"^\| \[`(\w+)`\]", page, re.MULTILINE)) == names
    assert "| `8000` | a whole number from 1 to 65535 |" in page


def test_every_route_has_its_method_and_who_may_use_it() -> None:
    page = reference.http_page()
    assert "| GET | `/healthz` | everybody | " in page
    assert "| POST | `/label/votes` | everybody with an account | " in page
    assert "| POST | `/admin/people/<id:annotator_id>/role` | admins | " in page


def test_a_view_without_a_docstring_is_refused() -> None:
    with pytest.raises(SystemExit, match="the view area\\.page has no docstring"):
        reference._first_line(lambda: None, "area.page")


@pytest.mark.parametrize("file", CSV_FILES, ids=lambda file: file.name)
def test_every_column_has_a_meaning(file: object) -> None:
    page = reference.csv_page()
    (section,) = re.findall(rf"^## {file.name}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert tuple(re.findall(r"^\| `(\w+)` \| \S", section, re.MULTILINE)) == file.columns


def test_a_stale_missing_or_left_over_page_is_told(tmp_path: Path) -> None:
    for name, write in reference.PAGES.items():
        (tmp_path / name).write_text(reference.NOTE + write())
    assert reference.stale(tmp_path) == []
    (tmp_path / "csv.md").write_text("old")
    (tmp_path / "settings.md").unlink()
    (tmp_path / "gone.md").touch()
    assert sorted(reference.stale(tmp_path)) == ["csv.md", "gone.md", "settings.md"]


def test_writing_it_needs_no_torch() -> None:
    script = (
        "import sys\n"
        "from docs.tools import reference\n"
        "for write in reference.PAGES.values(): write()\n"
        "print([name for name in ('torch', 'diffusers') if name in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
