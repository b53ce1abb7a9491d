"""Folders that one command at a time writes into, with real processes."""

from __future__ import annotations

import errno
import fcntl
import socket
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from labeler.cli.main import cli
from rotation.errors import DatasetError
from rotation.file_locks import hold_lock, own_folder
from tests.processes import start

HOLD = """
import sys, time
from pathlib import Path
from rotation.file_locks import own_folder
with own_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def _holder(folder: Path) -> subprocess.Popen[str]:
    process = start("-c", HOLD, str(folder))
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    holder = _holder(out)
    with pytest.raises(DatasetError) as refused, own_folder(out):
        pass
    holder.kill()
    holder.communicate()
    assert f"(process {holder.pid} on {socket.gethostname()})" in str(refused.value)
    assert str(out) in str(refused.value)
    with own_folder(out):
        (out / "result").write_text("mine")
    assert [each.name for each in out.iterdir()] == ["result"]


def test_a_block_that_writes_nothing_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), own_folder(tmp_path / "out"):
        raise ZeroDivisionError
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--steps", "1"),
        ("train-embedding", "--steps", "1"),
        ("run", "--images", "IMAGES", "--labels", "LABELS", "--source", "000001.jpg"),
        ("benchmark", "--quick"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_says_in_one_line_that_its_folder_is_taken(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    holder = _holder(tmp_path / "out")
    try:
        given = [str(tmp_path / each) if each.isupper() else each for each in arguments]
        options = ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
        done = CliRunner().invoke(cli, ["rotation", *given, *options])
    finally:
        holder.kill()
        holder.communicate()
    assert done.exit_code == 1, done.output
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {tmp_path / 'out'}: another command writes into this folder")
    assert "Wait until it has ended, stop it, or name another folder." in line


def test_a_file_system_without_locks_warns_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with own_folder(tmp_path):
        pass
    assert "has no locks (No locks available)" in caplog.text


def test_one_waits_for_the_other(tmp_path: Path) -> None:
    holder = _holder(tmp_path)
    told = []

    def tell(words: str) -> None:
        told.append(words)
        holder.kill()

    with hold_lock(tmp_path / ".sidelight-lock", tell):
        pass
    holder.communicate()
    assert told == [f"process {holder.pid} on {socket.gethostname()}"]


def test_the_end_of_a_lock_leaves_the_lock_of_another(tmp_path: Path) -> None:
    """Somebody removed the file, and another process made and holds a new one."""
    path = tmp_path / "lock"
    with hold_lock(path):
        path.unlink()
        with hold_lock(path):
            pass
        path.write_text("another's")
    assert path.read_text() == "another's"
