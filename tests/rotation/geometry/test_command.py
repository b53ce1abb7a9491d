"""The command `rotation turn`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rotation.cli.turn import turn


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(turn, [str(word) for word in words])
    return result.exit_code, result.output


@pytest.fixture
def file(photograph: Image.Image, tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    photograph.save(path)
    return path


def test_frames_strip_and_report(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said = run(
        file, "--yaw", "-20,0,20", "--fill", "surroundings", "--gif", "--webp", "--out", out
    )
    assert code == 0, said
    names = {path.name for path in out.iterdir()}
    frames = {"photograph_-020.0.png", "photograph_+000.0.png", "photograph_+020.0.png"}
    assert names == frames | {"strip.png", "report.json", "turn.gif", "turn.webp"}
    with Image.open(out / "photograph_+020.0.png") as frame, Image.open(file) as source:
        assert frame.size == source.size
        assert not np.array_equal(np.asarray(frame), np.asarray(source.convert("RGB")))
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert [frame["yaw_deg"] for frame in report["frames"]] == [-20, 0, 20]
    assert abs(report["yaw_deg"]) < 5
    with Image.open(out / "turn.gif") as animation:
        assert animation.n_frames == 4
    assert "strip.png" in said


def test_the_lamp_stays_or_turns_with_the_head(file: Path, tmp_path: Path) -> None:
    frames = []
    for option in ("--relight", "--no-relight"):
        out = tmp_path / option
        code, said = run(file, "--yaw", "25", "--fill", "surroundings", option, "--out", out)
        assert code == 0, said
        report = json.loads((out / "report.json").read_text("utf-8"))
        assert report["relight"] == (option == "--relight")
        with Image.open(out / "photograph_+025.0.png") as frame:
            frames.append(np.asarray(frame).astype(int))
    change = np.abs(frames[0] - frames[1]).mean(axis=2)
    assert change.max() > 15  # on the head
    assert change[:30].max() == 0  # above it


def test_doubtful_frames_are_named(file: Path, tmp_path: Path) -> None:
    code, said = run(file, "--yaw", "-58,5", "--fill", "surroundings", "--out", tmp_path / "out")
    assert code == 0
    assert "Doubtful at -58 degrees" in said
    assert "Doubtful at +5" not in said


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"", "empty"), (b"GIF89a not really", "portrait.png")],
)
def test_files_that_cannot_be_read(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "portrait.png"
    if content is not None:
        path.write_bytes(content)
    code, said = run(path, "--out", tmp_path / "out")
    assert code == 1
    assert message in said
    assert not list((tmp_path / "out").glob("*.png"))


def test_the_bundled_model_draws_hidden_parts(file: Path, tmp_path: Path) -> None:
    plain, drawn = tmp_path / "plain", tmp_path / "drawn"
    assert run(file, "--yaw", "25", "--fill", "surroundings", "--out", plain)[0] == 0
    code, said = run(file, "--yaw", "25", "--out", drawn)
    assert code == 0, said
    assert json.loads((drawn / "report.json").read_text("utf-8"))["model"] == "celeba-64"
    one, other = (
        np.asarray(Image.open(out / "photograph_+025.0.png")).astype(int) for out in (plain, drawn)
    )
    changed = np.abs(one - other).max(axis=2)
    assert 0.002 < (changed > 8).mean() < 0.2


def test_a_model_that_is_not_there(file: Path, tmp_path: Path) -> None:
    code, said = run(file, "--model", tmp_path / "missing", "--out", tmp_path / "out")
    assert code == 1
    assert "missing" in said
