"""A full or a read-only disk ends a command in one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.labeler.faults import fill, manage, mount, small_disk

ADVICE = ("Free some space", "Make it writable", "is neither full nor read-only", "with free space")
COMMANDS = (
    ("init",),
    ("users", "invite"),
    ("users", "list"),
    ("serve", "--port", "18977"),
    ("worker",),
    ("backup",),
    ("demo", "--images", "12"),
)
AS_A_RULE = COMMANDS[:2]  # the others take the same way out, and are tried by the slow tests


def tried(commands: Iterable[tuple[str, ...]]) -> list[ParameterSet]:
    """The commands to try, all but `AS_A_RULE` among the slow tests."""
    return [
        pytest.param(one, marks=() if one in AS_A_RULE else pytest.mark.slow, id=" ".join(one))
        for one in commands
    ]


def check_is_one_line(code: int, said: str) -> None:
    assert code == 1, said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1, said
    assert said.startswith("Error: ")
    assert any(advice in said for advice in ADVICE), said


@pytest.mark.parametrize("free_kb", [0, 40, 120])
def test_init_on_a_full_disk(tmp_path: Path, free_kb: int) -> None:
    with small_disk(tmp_path / "disk", free_kb + 64) as disk:
        (disk / "ballast").write_bytes(b"x" * 60_000)
        if not free_kb:
            fill(disk)
        check_is_one_line(*manage(disk / "home", "init"))


@pytest.mark.parametrize("command", tried(each for each in COMMANDS if each[0] != "worker"))
def test_a_disk_that_has_become_full(tmp_path: Path, command: tuple[str, ...]) -> None:
    with small_disk(tmp_path / "disk", 2_000) as disk:
        assert manage(disk / "home", "init")[0] == 0
        fill(disk)
        code, said = manage(disk / "home", *command)
        if command in (("init",), ("users", "list")):  # nothing has to be written
            assert code == 0 or "Traceback" not in said, said
        else:
            check_is_one_line(code, said)


@pytest.mark.parametrize("command", tried(COMMANDS))
def test_a_home_that_is_read_only(tmp_path: Path, command: tuple[str, ...]) -> None:
    with small_disk(tmp_path / "disk", 4_000) as disk:
        assert manage(disk / "home", "init")[0] == 0
        mount(disk, "-o", "remount,ro")
        check_is_one_line(*manage(disk / "home", *command))


def test_a_home_that_is_read_only_from_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1_000) as disk:
        (disk / "home").mkdir(mode=0o700)
        mount(disk, "-o", "remount,ro")
        check_is_one_line(*manage(disk / "home", "init"))
