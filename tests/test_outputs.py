"""Outputs that cannot be written are found before the work, by every command."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from labeler.cli.main import cli
from rotation.cli.option_types import OutputFile, OutputFolder
from rotation.errors import DatasetError
from rotation.output_paths import check_file, check_folder

OUTPUTS = {"out", "json_out", "cache", "save_pipeline"}
SHEET_FILE = {"rotation embeddings"}  # the --sheet of others is a number


def _commands(group: click.Group, *before: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, *before, name)
        else:
            yield " ".join((*before, name)), command


def _output_options() -> Iterator[tuple[str, str]]:
    for name, command in _commands(cli):
        for each in command.params:
            asked = OUTPUTS | ({"sheet"} if name in SHEET_FILE else set())
            if isinstance(each, click.Option) and each.name in asked:
                yield name, each.opts[0]


CASES = list(_output_options())


def test_the_commands_with_outputs_are_found() -> None:
    assert len(CASES) >= 21
    assert ("rotation train", "--out") in CASES
    assert ("export votes", "--out") in CASES


@pytest.mark.parametrize(("command", "option"), CASES, ids=" ".join)
def test_a_place_that_cannot_be_written_is_told_at_once(
    command: str, option: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    places = [tmp_path / "file" / "x"]
    if Path("/proc/self").exists():
        places.append(Path("/proc/x/y"))  # even a superuser cannot write there
    for place in places:
        done = CliRunner().invoke(cli, [*command.split(), option, str(place)])
        assert done.exit_code == 1, done.output
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"Error: {place}: cannot be written, since")


def test_a_trial_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "old.csv").write_text("old")
    for folder in ("there", "new", "new/one/two"):
        check_folder(tmp_path / folder)
        check_file(tmp_path / folder / "table.csv")
    check_file(tmp_path / "old.csv")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["old.csv", "there"]
    assert not any((tmp_path / "there").iterdir())
    assert (tmp_path / "old.csv").read_text() == "old"


def test_what_is_no_file_or_has_an_impossible_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="since it is a folder"):
        check_file(tmp_path)
    with pytest.raises(DatasetError, match="since it is a pipe or device"):
        check_file(Path("/dev/null"))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(DatasetError, match="name too long"):
        check_folder(tmp_path / ("x" * 300) / "y")
    with pytest.raises(DatasetError, match="name is too long"):
        check_file(tmp_path / ("x" * 300))


def test_dash_is_standard_output_only_where_it_is_allowed(tmp_path: Path) -> None:
    allowed, folder = OutputFile(allow_dash=True), OutputFolder()
    assert str(allowed.convert("-", None, None)) == "-"
    assert str(folder.convert("~", None, None)) == str(Path.home())
