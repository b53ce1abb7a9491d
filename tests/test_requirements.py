"""The requirements files are pinned from pyproject.toml, and it shows when they are not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def pin(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / ".ci" / "pin_requirements.py")
    command = [sys.executable, script, "--root", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_files_agree_and_writing_them_changes_nothing(copy: Path) -> None:
    assert pin(copy, "--check").returncode == 0
    before = {path: path.read_text() for path in copy.rglob("*.txt")}
    assert pin(copy).returncode == 0
    assert {path: path.read_text() for path in copy.rglob("*.txt")} == before


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("requirements.txt", "flask==", "# flask==", "+flask=="),
        ("requirements.txt", "click==8", "click==7", "-click==7"),
        ("requirements.txt", "blinker==", "unused==1\nblinker==", "-unused==1"),
        ("requirements/dev.txt", "pytest==", "# pytest==", "+pytest=="),
        ("requirements/dev.txt", "-r pictures.txt\n", "", "+-r pictures.txt"),
        ("pyproject.toml", '"flask>=3.1,<4"', '"flask>=4"', "flask>=4 is asked for"),
        ("pyproject.toml", '"nh3', '"no-such-package", "nh3', "no-such-package is not installed"),
        ("pyproject.toml", '    "nh3>=0.3.8,<0.4",\n', "", "-nh3=="),
    ],
)
def test_a_difference_is_refused(copy: Path, file: str, old: str, new: str, told: str) -> None:
    replace(copy / file, old, new)
    done = pin(copy, "--check")
    assert done.returncode == 1
    assert told in done.stderr


def test_the_pins_of_what_is_not_installed_stay(copy: Path) -> None:
    file = copy / "requirements" / "judge.txt"
    file.write_text(file.read_text() + "only-here==1.0\n")
    replace(copy / "pyproject.toml", '    "dlib-bin', '    "not-installed>=1", "dlib-bin')
    replace(file, "dlib-bin==", "not-installed==1.2\ndlib-bin==")
    assert pin(copy).returncode == 0
    assert "not-installed==1.2\n" in file.read_text()
    assert "only-here==1.0\n" in file.read_text()
