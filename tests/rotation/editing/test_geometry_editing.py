"""Geometry editing: whole photographs, in which clusters and model draw what was hidden."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from rotation.data.crop import read_image
from rotation.data.sources import open_source
from rotation.diffusers_pipeline import HeadRotationPipeline
from rotation.editing.geometry_editing import HIDDEN_GAIN, GeometryEditing
from rotation.errors import SelectionError
from rotation.geometry.photograph import Photograph
from rotation.options import AUTO
from rotation.synthetic_heads.dataset import read_truth
from tests.rotation.editing.test_pipeline import SOURCE, heads, model, turn
from tests.rotation.modelling import add_network, add_refiner

__all__ = ["heads", "model"]  # fixtures
GEOMETRY = ("--editing", "geometry", "--embedding", "smooth", "--no-bf16")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_whole_photographs_are_turned(heads: Path, model: Path, tmp_path: Path) -> None:
    pipe, out = tmp_path / "pipe", tmp_path / "turned"
    more = ("--yaw", "-30,30", "--gif", "--grid", "--save-pipeline", str(pipe))
    result = turn(heads, model, tmp_path, *GEOMETRY, *more)
    assert result.exit_code == 0, result.output
    with open_source(heads) as images:
        photograph = read_image(images, SOURCE)
    plain = Photograph(photograph)
    report = json.loads((out / "report.json").read_text())
    assert report["editing"] == "geometry"
    assert report["gain"] == HIDDEN_GAIN
    assert report["relight"] is True
    assert report["carried"] is None
    assert report["turn"]["fallback"] is None
    # The source looks to +26 degrees.
    far, near = report["turn"]["hidden"]
    assert far > near >= 0
    far, near = report["turn"]["doubts"]
    assert far.startswith("turned by 5")
    assert near is None
    assert "doubtful at -30 degrees: turned by 5" in result.output
    for yaw, name in ((-30, "photograph_-030.0.png"), (30, "photograph_+030.0.png")):
        frame, alone = pixels(out / name), plain.turn_to(yaw).pixels.astype(int)
        turned = plain.turn_by(yaw - plain.yaw_deg)
        hidden = (1 - turned.seen) * turned.alpha
        assert frame.shape == alone.shape
        # An untrained model draws noise, so what differs is what it drew.
        assert np.abs(frame - alone)[hidden < 0.01].mean() < 4
        if yaw == -30:
            assert np.abs(frame - alone)[hidden > 0.5].mean() > 15
    with Image.open(out / "strip.png") as strip, Image.open(out / "turn.gif") as moving:
        assert strip.width > 3 * photograph.width
        assert moving.height == 256
        assert moving.width == round(256 * photograph.width / photograph.height)
    page = (out / "report.html").read_text()
    assert "of the face was hidden" in page
    assert "doubtful: turned by 5" in page
    assert "standard crops of the turned heads" in page
    saved = HeadRotationPipeline.from_pretrained(pipe)
    again = saved(
        photograph, (-30, 30), source_yaw_deg=report["source"]["yaw_deg"], embedding="smooth"
    )
    assert again.photographs is not None
    for image, name in zip(
        again.photographs, ("photograph_-030.0.png", "photograph_+030.0.png"), strict=True
    ):
        assert np.abs(np.asarray(image).astype(int) - pixels(out / name)).mean() < 0.5
    own = {"source_yaw_deg": report["source"]["yaw_deg"], "embedding": "smooth"}
    kept, other = (saved(photograph, (-30,), relight=on, **own).photographs for on in (True, False))
    assert kept is not None
    assert other is not None
    change = np.abs(np.asarray(other[0]).astype(int) - np.asarray(kept[0]))
    assert change.mean(axis=2)[plain.turn_by(-30 - plain.yaw_deg).face > 0.9].mean() > 3


def test_a_refiner_draws_whole_heads(heads: Path, model: Path, tmp_path: Path) -> None:
    folder, out, pipe = tmp_path / "model", tmp_path / "turned", tmp_path / "pipe"
    shutil.copytree(model, folder)
    add_refiner(folder)
    add_network(folder, steps=10)
    frames = []
    for more in (("--no-refine",), ("--save-pipeline", str(pipe))):
        words = ("--editing", "geometry", "--embedding", "network", "--no-bf16", "--yaw", "10")
        result = turn(heads, folder, tmp_path, *words, *more)
        assert result.exit_code == 0, result.output
        frames.append(pixels(out / "photograph_+010.0.png"))
    report = json.loads((out / "report.json").read_text())
    assert report["turn"]["refined"] is True
    with open_source(heads) as images:
        photograph = read_image(images, SOURCE)
    plain = Photograph(photograph)
    turned = plain.turn_by(10 - plain.yaw_deg)
    hidden = (1 - turned.seen) * turned.alpha
    # An untrained refiner draws other noise than an untrained model, and nothing far from it.
    changed = np.abs(frames[1] - frames[0]).max(axis=2)
    assert changed[hidden > 0.5].mean() > 15
    assert changed[ndimage.maximum_filter(hidden, 31) < 0.01].max() < 12
    assert (pipe / "refiner" / "unet" / "config.json").is_file()
    saved = HeadRotationPipeline.from_pretrained(pipe)
    own = {"source_yaw_deg": report["source"]["yaw_deg"], "embedding": "network"}
    for refine, frame in ((False, frames[0]), (True, frames[1])):
        again = saved(photograph, (10,), refine=refine, **own)
        assert again.photographs is not None
        assert np.abs(np.asarray(again.photographs[0]).astype(int) - frame).mean() < 0.5


def test_a_face_that_cannot_be_measured_is_turned_by_the_flow(
    heads: Path, model: Path, tmp_path: Path
) -> None:
    """The source is a wall, whose yaw a file tells."""
    folder = tmp_path / "set"
    (folder / "img_align_celeba").mkdir(parents=True)
    for path in (heads / "img_align_celeba").iterdir():
        (folder / "img_align_celeba" / path.name).write_bytes(path.read_bytes())
    wall = Image.effect_noise((178, 218), 40).convert("RGB")
    wall.save(folder / "img_align_celeba" / SOURCE)
    poses = folder / "poses.csv"
    with poses.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "yaw_deg"])
        writer.writerows([name, 3 * (k % 15) - 20] for k, name in enumerate(read_truth(heads)))
    result = turn(folder, model, tmp_path, *GEOMETRY, "--yaw", "-10,10", "--poses", str(poses),
                  "--labels", str(heads / "labels.csv"))  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "turned by flow, not by geometry: No face was found" in result.output
    out = tmp_path / "turned"
    assert "The flow turned this head" in (out / "report.html").read_text()
    assert pixels(out / "photograph_+010.0.png").shape == (218, 178, 3)
    report = json.loads((out / "report.json").read_text())
    assert report["turn"]["hidden"] is None
    own = report["source"]["yaw_deg"]
    assert report["turn"]["path_deg"] == pytest.approx([own + (y - own) / 2 for y in (-10, 10)])


def test_a_direction_without_a_flow_is_refused(heads: Path, model: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    more = ("--yaw", "-10,10", "--editing", "line", "--embedding", "smooth", "--no-bf16")
    assert not turn(heads, model, tmp_path, *more, "--save-pipeline", str(pipe)).exit_code
    with open_source(heads) as images:
        photograph = read_image(images, SOURCE)
    saved = HeadRotationPipeline.from_pretrained(pipe)
    with pytest.raises(SelectionError, match="no flow"):
        saved(photograph, (10,), source_yaw_deg=0, embedding="smooth", editing="geometry")


def test_trial_frames_cannot_choose_the_gain() -> None:
    assert GeometryEditing().choose_gain(0.0) == 0.0
    with pytest.raises(SelectionError, match="--editing line"):
        GeometryEditing().choose_gain(AUTO)
