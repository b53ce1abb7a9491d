"""Finishing frames for viewing: matching colours, super-resolution and sharpening.

Each step is optional. Measurements of yaw, light and identity always use unfinished frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from rotation.data.crop import Pixels
from rotation.errors import MissingExtraError, ModelError
from rotation.imaging.colours import match_colours
from rotation.imaging.images import from_pixels, to_pixels
from rotation.options import OutputOptions
from rotation.reading import read_bytes

Upscaler = Callable[[Pixels], Pixels]
"""Enlarges frames (N, S, S, 3) to (N, S', S', 3)."""


@dataclass(frozen=True)
class FinishingSteps:
    """The steps, in their order.

    Attributes:
        upscale: enlarges the frames; None leaves their size.
        sharpen: the amount of the unsharp mask; 0 is none, 1 is strong.
    """

    match_colours: bool = False
    upscale: Upscaler | None = None
    sharpen: float = 0.0


def finish_frames(frames: Pixels, source: Pixels, steps: FinishingSteps) -> Pixels:
    """Finished frames (N, S', S', 3) of frames (N, S, S, 3) and their source (S, S, 3)."""
    shown = match_colours(frames, source) if steps.match_colours else frames
    if steps.upscale is not None:
        shown = steps.upscale(shown)
    return sharpen(shown, steps.sharpen) if steps.sharpen > 0 else shown


def sharpen(frames: Pixels, amount: float) -> Pixels:
    """Unsharp mask: frame + amount (frame - blurred), with a blur radius of side / 64 pixels."""
    mask = ImageFilter.UnsharpMask(
        radius=frames.shape[1] / 64, percent=round(100 * amount), threshold=0
    )
    return np.stack([np.asarray(Image.fromarray(frame).filter(mask)) for frame in frames])


def load_super_resolution(path: Path) -> Upscaler:
    """Load a super-resolution model from an ONNX file. It runs on the CPU, frame by frame.

    The model maps (1, 3, S, S), RGB in [0, 1], to (1, 3, S', S'). Only ONNX is read, since it holds
    a graph of known operators; TorchScript files and pickles can hold code.

    Raises:
        ModelError: the file is no such model.
        MissingExtraError: onnxruntime is not installed.
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
        return to_pixels(_check_output(np.asarray(larger), frame.shape[1], path))

    return upscale


def describe_finishing(options: OutputOptions) -> dict[str, Any]:
    """The steps that are asked for, as in reports. The model has its name and SHA-256."""
    description, model = None, options.super_resolution
    if model is not None:
        description = {"name": model.name, "sha256": hashlib.sha256(read_bytes(model)).hexdigest()}
    return {
        "match_colours": options.match_colours,
        "super_resolution": description,
        "sharpen": options.sharpen,
    }


def _open_session(path: Path) -> Any:
    try:
        import onnxruntime  # late: an extra
    except ImportError as error:
        raise MissingExtraError("Super-resolution needs onnxruntime", error) from None
    try:
        return onnxruntime.InferenceSession(read_bytes(path), providers=["CPUExecutionProvider"])
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}).") from None
    except _onnx_errors() as error:
        raise ModelError(f"{path}: no ONNX model ({str(error).splitlines()[0]}).") from None


def _onnx_errors() -> tuple[type[Exception], ...]:
    """The exceptions of onnxruntime, which have no base class of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = "EPFail Fail InvalidArgument InvalidGraph InvalidProtobuf NoModel NotImplemented"
    return tuple(getattr(state, name) for name in (*names.split(), "RuntimeException"))


def _check_output(larger: np.ndarray, side: int, path: Path) -> np.ndarray:
    square = larger.ndim == 4 and larger.shape[1] == 3 and larger.shape[2] == larger.shape[3]
    if not square or larger.shape[2] < side:
        raise ModelError(
            f"{path}: made {larger.shape} of an image of {side} x {side}; (1, 3, S, S) with S of "
            f"{side} at least is needed."
        )
    return larger
