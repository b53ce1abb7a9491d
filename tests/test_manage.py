"""The command line as a person uses it: a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from labeler import __version__
from labeler.cli.main import COMMANDS, cli

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "flask", "sqlalchemy", "numpy", "sklearn", "PIL", "diffusers")


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if "SIDELIGHT" not in name}
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environ | {"SIDELIGHT_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def all_commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def walk(group: dict[str, object], path: tuple[str, ...]) -> None:
        for name, (target, _help) in group.items():  # type: ignore[misc]
            if isinstance(target, dict):
                walk(target, (*path, name))
            else:
                found.append((*path, name))

    walk(COMMANDS, ())
    return found


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from labeler.cli.main import cli\n"
        "try: cli(['--help'], prog_name='manage.py')\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE), name


@pytest.mark.parametrize("path", all_commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    command: click.Command | None = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), name)
    assert command is not None
    for one in _leaves(command):
        text = one.get_help(click.Context(one))
        assert re.search(r"Examples?:", text), one.name
        assert "python manage.py" in text, one.name


def _leaves(command: click.Command) -> list[click.Command]:
    if isinstance(command, click.Group):
        return [leaf for sub in command.commands.values() for leaf in _leaves(sub)]
    return [command]


def test_an_expected_error_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    run(tmp_path, "init")
    for arguments, message in (
        (("images", "import", "/nowhere"), "Error: /nowhere: there is no such file or folder"),
        (("users", "deactivate", "nobody"), "Error: The account 'nobody' does not exist."),
        (("images", "activate", "x"), "Error: There is no data set 'x'; registered: none."),
    ):
        done = run(tmp_path, *arguments)
        assert done.returncode == 1
        assert done.stderr.strip() == message


def test_a_wrong_setting_is_told_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "init"],
        env=os.environ | {"SIDELIGHT_HOME": str(tmp_path), "SIDELIGHT_PORT": "eighty"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "SIDELIGHT_PORT='eighty'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_command_is_an_error(tmp_path: Path) -> None:
    done = run(tmp_path, "label")
    assert done.returncode == 2
    assert "No such command 'label'" in done.stderr


def test_the_version_is_told(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").stdout == f"sidelight, version {__version__}\n"


def test_usage_names_the_program_as_it_was_started(tmp_path: Path) -> None:
    module = [sys.executable, "-m", "labeler.cli", "users", "--help"]
    as_module = subprocess.run(module, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run(tmp_path, "users", "--help").stdout.startswith("Usage: manage.py users ")
    assert as_module.stdout.startswith("Usage: sidelight users ")


def test_without_the_engine_s_libraries_a_command_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules['torch'] = None\n"  # as if it were not installed
        f"sys.argv = ['sidelight', 'rotation', 'samples', '--out', {str(tmp_path / 'a.png')!r}]\n"
        "from labeler.cli.main import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: This command needs torch, which is not installed.")
    assert "sidelight[rotation]" in done.stderr
