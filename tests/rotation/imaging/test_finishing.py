"""Post-processing: known colours, statistics that must come out, models that must be refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from rotation.errors import MissingExtraError, ModelError
from rotation.imaging.colours import (
    lab_from_srgb,
    match_colours,
    restore_colours,
    srgb_from_lab,
)
from rotation.imaging.finishing import (
    FinishingSteps,
    finish_frames,
    load_super_resolution,
    sharpen,
)

SIDE = 32


def smooth_frames(count: int = 3, seed: int = 0) -> np.ndarray:
    """Soft pictures (N, S, S, 3) well inside of 0..255."""
    noise = np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    soft = [Image.fromarray(frame).filter(ImageFilter.GaussianBlur(3)) for frame in noise]
    return np.stack([np.asarray(frame) for frame in soft])


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [  # the published values of sRGB's corners, D65
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0, 1, 1), (91.11, -48.09, -14.13)),
        ((119 / 255,) * 3, (50.03, 0, 0)),
    ],
)
def test_colours_whose_lab_is_known(rgb: tuple, lab: tuple) -> None:
    np.testing.assert_allclose(lab_from_srgb(np.array(rgb)), lab, atol=0.01)


def test_lab_goes_there_and_back() -> None:
    levels = np.linspace(0, 1, 9)
    every = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    np.testing.assert_allclose(srgb_from_lab(lab_from_srgb(every)), every, atol=1e-9)


def test_matched_frames_have_the_statistics_of_the_source() -> None:
    source = np.asarray(
        Image.fromarray(smooth_frames(seed=1)[0]).point(lambda v: 40 + 0.6 * v), dtype=np.uint8
    )
    matched = match_colours(smooth_frames(), source)
    wanted = lab_from_srgb(source / 255.0).reshape(-1, 3)
    for frame in matched:
        got = lab_from_srgb(frame / 255.0).reshape(-1, 3)
        np.testing.assert_allclose(got.mean(axis=0), wanted.mean(axis=0), atol=0.2)
        np.testing.assert_allclose(got.std(axis=0), wanted.std(axis=0), rtol=0.05, atol=0.2)


def test_a_frame_like_its_source_is_left_alone() -> None:
    frames = smooth_frames()
    assert np.abs(match_colours(frames[:1], frames[0]).astype(int) - frames[0]).max() <= 1


def test_colours_lost_in_embedding_are_given_back_by_one_map() -> None:
    source, again = smooth_frames(2)
    again = np.rint(40 + 0.7 * again).astype(np.uint8)
    wanted = lab_from_srgb(source / 255.0).reshape(-1, 3)
    got = lab_from_srgb(restore_colours(again[None], again, source) / 255.0).reshape(-1, 3)
    np.testing.assert_allclose(got.mean(axis=0), wanted.mean(axis=0), atol=0.3)
    np.testing.assert_allclose(got.std(axis=0), wanted.std(axis=0), rtol=0.05, atol=0.3)
    shaded = again // 2  # a frame that has become darker stays darker
    given = restore_colours(np.stack([again, shaded]), again, source).astype(float)
    assert given[1].mean() < given[0].mean() - 20
    both = restore_colours(shaded[None, :, ::-1], again, source)
    assert np.array_equal(both[0, :, ::-1], given[1])


def test_nothing_lost_is_nothing_given_back() -> None:
    frames = smooth_frames()
    given = restore_colours(frames, frames[0], frames[0])
    assert np.abs(given.astype(int) - frames).max() <= 1


def test_a_flat_frame_does_not_break() -> None:
    flat = np.full((1, SIDE, SIDE, 3), 90, dtype=np.uint8)
    matched = match_colours(flat, smooth_frames()[0])
    assert matched.std(axis=(1, 2)).max() == 0


def test_sharpening_adds_contrast_to_edges_and_nothing_to_flats() -> None:
    step = np.full((1, SIDE, SIDE, 3), 80, dtype=np.uint8)
    step[:, :, SIDE // 2 :] = 160
    soft = np.stack([np.asarray(Image.fromarray(step[0]).filter(ImageFilter.GaussianBlur(1)))])
    edge = slice(SIDE // 2 - 2, SIDE // 2 + 2)
    rise = [np.ptp(f[0, SIDE // 2, edge, 0].astype(int)) for f in (soft, sharpen(soft, 1.0))]
    assert rise[1] > rise[0]
    assert np.array_equal(sharpen(soft, 1.0)[:, :, :8], soft[:, :, :8])


def test_nothing_asked_is_nothing_done() -> None:
    frames = smooth_frames()
    assert finish_frames(frames, frames[0], FinishingSteps()) is frames


def test_any_function_upscales() -> None:
    doubled = finish_frames(
        smooth_frames(),
        smooth_frames()[0],
        FinishingSteps(upscale=lambda f: f.repeat(2, 1).repeat(2, 2)),
    )
    assert doubled.shape == (3, 2 * SIDE, 2 * SIDE, 3)


def resize_model(
    path: Path, channels: int = 3, factor: float = 2.0, side: int | None = None
) -> Path:
    """An ONNX file that enlarges by repeating pixels."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed (requirements/dev.txt)")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from onnx import TensorProto, helper, numpy_helper

    shape = ["N", channels, side or "H", side or "W"]
    scales = numpy_helper.from_array(np.array([1, 1, factor, factor], np.float32), "scales")
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")
    graph = helper.make_graph(
        [node],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", channels, "H2", "W2"])],
        [scales],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def test_an_onnx_model_enlarges(tmp_path: Path) -> None:
    upscale = load_super_resolution(resize_model(tmp_path / "double.onnx"))
    frames = smooth_frames()
    assert np.array_equal(upscale(frames), frames.repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 1}, r"takes no single float \(N, 3, H, W\)"),
        ({"factor": 0.5}, "needed"),
        ({"side": 48}, "cannot enlarge"),
    ],
)
def test_other_onnx_models_are_refused(settings: dict, message: str, tmp_path: Path) -> None:
    path = resize_model(tmp_path / "other.onnx", **settings)
    with pytest.raises(ModelError, match=message):
        load_super_resolution(path)(smooth_frames())


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.ckpt", "model.safetensors"])
def test_only_onnx_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(ModelError, match=r"\.onnx only"):
        load_super_resolution(tmp_path / name)


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match="no ONNX model"):
        load_super_resolution(tmp_path / "broken.onnx")
    with pytest.raises(ModelError, match="cannot be read"):
        load_super_resolution(tmp_path / "absent.onnx")


def test_without_onnxruntime_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"onnxruntime.*requirements/pictures\.txt"):
        load_super_resolution(tmp_path / "model.onnx")
