"""What is done to frames for show, each step only where asked for: colours, more pixels, edges.

Nothing here is measured: the yaw, the light and the person are read off frames as decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from rotation.data.crop import Pixels
from rotation.errors import MissingExtraError, ModelError
from rotation.imaging.images import from_pixels, to_pixels
from rotation.options import OutputOptions

Upscaler = Callable[[Pixels], Pixels]
"""Frames (N, S, S, 3) to larger ones (N, S', S', 3): any function, or `load_super_resolution`."""

MAX_STRETCH = 2.0
"""Contrast is changed by this factor at most, else a flat frame would be stretched into noise."""


@dataclass(frozen=True)
class Finish:
    """The steps, in the order they are done. `sharpen` is a share: 0 nothing, 1 strong."""

    match_colours: bool = False
    upscale: Upscaler | None = None
    sharpen: float = 0.0


def finish(frames: Pixels, source: Pixels, settings: Finish) -> Pixels:
    """Frames (N, S, S, 3) of a source (S, S, 3), finished for show: (N, S', S', 3)."""
    shown = match_colours(frames, source) if settings.match_colours else frames
    if settings.upscale is not None:
        shown = settings.upscale(shown)
    return sharpen(shown, settings.sharpen) if settings.sharpen > 0 else shown


def match_colours(frames: Pixels, source: Pixels) -> Pixels:
    """Each frame (N, S, S, 3) with the source's mean and spread of L*, a* and b*.

        c' = (c - mean_frame) std_source / std_frame + mean_source,   per channel of L*a*b*

    The ratio stays within `MAX_STRETCH`. It is one map for all pixels of a frame, so the side the
    light comes from stays. E. Reinhard et al., *Color Transfer between Images*, IEEE CG&A 21(5),
    2001, there in l-alpha-beta; in CIE L*a*b* as the origin work has it (arXiv 2308.06057).
    """
    return np.stack([_recolour(frame[None], frame, source)[0] for frame in frames])


def restore_colours(frames: Pixels, again: Pixels, source: Pixels) -> Pixels:
    """Frames (N, S, S, 3) with the colours that embedding the source has lost.

    The map of `match_colours` that takes `again`, the source (S, S, 3) decoded from its own
    latent, to the source; one for all frames, so that what a turn changes stays changed.
    """
    return _recolour(frames, again, source)


def _recolour(frames: Pixels, like: Pixels, wanted: Pixels) -> Pixels:
    """The map from the colours of `like` to those of `wanted`, on frames (N, S, S, 3)."""
    own, goal = (lab_from_srgb(image / 255.0).reshape(-1, 3) for image in (like, wanted))
    ratio = (goal.std(axis=0) + 1e-6) / (own.std(axis=0) + 1e-6)
    ratio = np.clip(ratio, 1 / MAX_STRETCH, MAX_STRETCH)
    moved = (lab_from_srgb(frames / 255.0) - own.mean(axis=0)) * ratio + goal.mean(axis=0)
    return np.rint(srgb_from_lab(moved) * 255).astype(np.uint8)


def sharpen(frames: Pixels, amount: float) -> Pixels:
    """Unsharp mask: frame + amount (frame - blurred), the blur 1 pixel for each 64 of the side."""
    blade = ImageFilter.UnsharpMask(
        radius=frames.shape[1] / 64, percent=round(100 * amount), threshold=0
    )
    return np.stack([np.asarray(Image.fromarray(frame).filter(blade)) for frame in frames])


def load_super_resolution(path: Path) -> Upscaler:
    """An upscaler from an ONNX file: (1, 3, H, W) in [0, 1], RGB, to the same, larger.

    ONNX holds a graph of known operators and no code, unlike TorchScript and pickles, which are
    refused. It runs on the CPU, frame by frame.

    Raises `ModelError` for a file that is no such model, `MissingExtraError` without onnxruntime.
    """
    if path.suffix.lower() != ".onnx":
        raise ModelError(f"{path}: super-resolution models are read as .onnx only; export yours.")
    session = _open_session(path)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shape = inputs[0].shape if len(inputs) == 1 else None
    if shape is None or len(shape) != 4 or shape[1] != 3 or inputs[0].type != "tensor(float)":
        raise ModelError(f"{path}: takes no single float (N, 3, H, W) of RGB in [0, 1].")

    def upscale(frames: Pixels) -> Pixels:
        return np.concatenate([one(frame[None]) for frame in frames])

    def one(frame: Pixels) -> Pixels:
        feed = {inputs[0].name: from_pixels(frame)}
        try:
            (larger,) = session.run([outputs[0].name], feed)
        except _onnx_errors() as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"{path}: cannot enlarge {frame.shape[1:3]}: {reason}") from None
        return to_pixels(_checked(np.asarray(larger), frame.shape[1], path))

    return upscale


def describe_finishing(options: OutputOptions) -> dict[str, Any]:
    """The steps that are asked for, as reports tell of them; the model by name and SHA-256."""
    named, model = None, options.super_resolution
    if model is not None:
        named = {"name": model.name, "sha256": hashlib.sha256(model.read_bytes()).hexdigest()}
    return {
        "match_colours": options.match_colours,
        "super_resolution": named,
        "sharpen": options.sharpen,
    }


def _open_session(path: Path) -> Any:
    try:
        import onnxruntime  # late: an extra
    except ImportError as error:
        raise MissingExtraError("Super-resolution needs onnxruntime", error) from None
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}).") from None
    except _onnx_errors() as error:
        raise ModelError(f"{path}: no ONNX model ({str(error).splitlines()[0]}).") from None


def _onnx_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises for a file or an input: classes without a base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = "EPFail Fail InvalidArgument InvalidGraph InvalidProtobuf NoModel NotImplemented"
    return tuple(getattr(state, name) for name in (*names.split(), "RuntimeException"))


def _checked(larger: np.ndarray, side: int, path: Path) -> np.ndarray:
    square = larger.ndim == 4 and larger.shape[1] == 3 and larger.shape[2] == larger.shape[3]
    if not square or larger.shape[2] < side:
        raise ModelError(
            f"{path}: made {larger.shape} of a picture of {side} x {side}; (1, 3, S, S) with S of "
            f"{side} at least is wanted."
        )
    return larger


Floats = NDArray[np.float64]

_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _TO_XYZ.sum(axis=1)
_FROM_XYZ = np.linalg.inv(_TO_XYZ)
_EDGE = 6 / 29  # below its cube, the cube root is replaced by its tangent


def lab_from_srgb(rgb: NDArray[np.floating]) -> Floats:
    """L* in 0..100, a* and b* (..., 3) of sRGB values (..., 3) in [0, 1]."""
    values = np.asarray(rgb, dtype=np.float64)
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _TO_XYZ.T / _WHITE
    root = np.where(ratio > _EDGE**3, np.cbrt(ratio), ratio / (3 * _EDGE**2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def srgb_from_lab(lab: NDArray[np.floating]) -> Floats:
    """sRGB values (..., 3) in [0, 1] of L*a*b* (..., 3); colours sRGB has not are clipped."""
    light, a, b = np.moveaxis(np.asarray(lab, dtype=np.float64), -1, 0)
    y = (light + 16) / 116
    root = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    ratio = np.where(root > _EDGE, root**3, 3 * _EDGE**2 * (root - 4 / 29))
    linear = np.clip(ratio * _WHITE @ _FROM_XYZ.T, 0, 1)
    curved = 1.055 * linear ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, linear * 12.92, curved)
