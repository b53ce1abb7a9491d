"""Turning heads as a pipeline of diffusers: any unconditional model folder in, frames out.

    pipe = HeadRotationPipeline.from_pretrained("ddpm-celebahq-256")
    pipe.directions["center"] = fit.direction
    pipe.save_pretrained("turner")                       # model and directions in one folder
    frames = pipe(picture, yaws_deg=(-20, 0, 20), direction="center").images

Annotations here are live (no `from __future__`): diffusers reads the constructor's.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.utils import BaseOutput, is_accelerate_available
from PIL import Image

from rotation.data.crop import standard_crop
from rotation.diffusion.latent_model import Denoising, LatentModel, load_denoising
from rotation.diffusion.model_folder import (
    SCHEDULER_CONFIG,
    UNET_CONFIG,
    content_hash,
    verify_checksums,
)
from rotation.diffusion.schedule import NoiseSchedule
from rotation.directions.direction import Direction
from rotation.directions.storage import load_directions, save_directions
from rotation.editing.method import EditedFrames, EditRequest, editing_method
from rotation.errors import ModelError, SelectionError
from rotation.imaging.images import from_pixels, to_pixels
from rotation.latents.encoders import EmbeddedModel, choose_embedding
from rotation.options import EditingOptions

EMBEDDINGS = ("inversion", "smooth")
OUTPUT_TYPES = ("pil", "np", "pt", "latent")
INDEX = "model_index.json"
PLAIN_GAIN = 1.0  # along a linear direction, where no gain is given
MIN_CONFIDENCE = 0.2
"""Under this, landmarks were read off something that is no face; clusters leave such images out."""

Picture = Image.Image | np.ndarray | torch.Tensor


@dataclass
class HeadRotationPipelineOutput(BaseOutput):
    """Frames, image after image and for each image yaw after yaw.

    Attributes:
        images: by `output_type`: PIL images; float arrays (N, S, S, 3) or tensors (N, 3, S, S) in
            [0, 1]; for `latent` the moved latents themselves.
        latents: the moved latents (N, 3, S, S), float32 on the CPU.
        source_yaws_deg: the yaw each source was taken to have.
    """

    images: list[Image.Image] | np.ndarray | torch.Tensor
    latents: torch.Tensor
    source_yaws_deg: tuple[float, ...]


class HeadRotationPipeline(DiffusionPipeline):
    """Turns the head of a picture along directions in a diffusion model's latent space.

    Takes every unconditional folder of a `UNet2DModel` (RGB, or r x r blocks stacked as channels)
    with a DDIM or DDPM scheduler, predicting epsilon, sample or v. The sampler is this engine's
    own (`rotation.diffusion.ddim`), whose steps can be inverted. Of the scheduler only the noise
    schedule and the kind of prediction are read.

    Attributes:
        directions: by name; saved and loaded with the model.
    """

    model_cpu_offload_seq = "unet"  # type: ignore[assignment]
    unet: Any  # set by register_modules; diffusers leaves its classes half untyped
    scheduler: Any

    def __init__(self, unet: UNet2DModel, scheduler: DDIMScheduler | DDPMScheduler) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=DDIMScheduler.from_config(scheduler.config))
        self.directions: dict[str, Direction] = {}
        self.unet.eval().requires_grad_(False)
        self._denoising()  # an unknown schedule or odd channels are refused here, not at a call

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Self:
        """Open a local folder, with the directions saved in it.

        Folders of this project without `model_index.json` are opened too. Only safetensors are
        read. Raises `ModelError` for a folder that is no such model or is damaged.
        """
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            raise ModelError(f"{folder}: no such folder; download the model into one first.")
        verify_checksums(folder)
        if not (folder / INDEX).is_file():
            pipeline = cls(*_parts(folder))
        else:
            if not is_accelerate_available():
                kwargs.setdefault("low_cpu_mem_usage", False)  # else diffusers warns at every call
            kwargs["use_safetensors"] = True
            try:
                pipeline = super().from_pretrained(folder, **kwargs)
            except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
                raise ModelError(f"{folder}: cannot be opened as a pipeline: {error}") from error
        if (folder / UNET_CONFIG).is_file():
            pipeline.directions = load_directions(folder, content_hash(folder))
        return pipeline

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """Write model and directions: a folder for this class, for `--model`, and for diffusers."""
        kwargs["safe_serialization"] = True
        super().save_pretrained(save_directory, *args, **kwargs)
        folder = Path(save_directory)
        for name in (INDEX, UNET_CONFIG, SCHEDULER_CONFIG):
            _forget_origin(folder / name)
        if self.directions:
            save_directions(folder, self.directions, content_hash(folder))

    @property
    def image_size(self) -> int:
        """S, the side of pictures, frames and latents in pixels."""
        return self._denoising().image_size

    @torch.no_grad()
    def __call__(  # noqa: PLR0913 - as diffusers' own pipelines, all by keyword
        self,
        image: Picture | Sequence[Picture],
        yaws_deg: Sequence[float],
        direction: str | Direction = "",
        *,
        source_yaw_deg: float | None = None,
        gain: float | None = None,
        keep_norm: bool = True,
        num_inference_steps: int = 10,
        embedding: Literal["inversion", "smooth"] = "inversion",
        detail: float = EditingOptions.detail,
        editing: str | None = None,
        inversion_tolerance: float | None = None,
        bf16: bool = False,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> HeadRotationPipelineOutput | tuple[Any, ...]:
        """Frames of one picture or several at each of K yaws.

        Args:
            image: PIL images are cropped as the engine crops (`standard_crop`); arrays (S, S, 3)
                and tensors (3, S, S) in [0, 1] are taken as crops of the model's size.
            yaws_deg: the yaws to show, degrees, > 0 towards the viewer's right.
            direction: a name in `directions`, which may be left out where there is one, or a
                direction itself.
            source_yaw_deg: the yaw the pictures show; None reads it from landmarks.
            gain: multiplies the turn along the direction, of which a mean slope is too little for
                one head. Where the direction goes with a flow, pictures are warped along it, and
                only the rest is multiplied. None takes 1, with a flow `FLOW_GAIN`.
            keep_norm: see `Direction.move`; with a flow it plays no part.
            num_inference_steps: of the sampler.
            embedding: of the pictures, that of the clusters whose direction it is: `inversion`
                exactly, `smooth` as `rotation run` embeds photographs.
            detail: see `EditingOptions`; without a flow it plays no part.
            editing: the name of an editing method (`rotation.editing.method.EDITING_METHODS`).
                None takes `flow` where the direction goes with a flow, else `line`.
            inversion_tolerance: see `LatentModel.encode_exactly`; None is as exact as float32 is.
            bf16: compute the network in bfloat16.
            output_type: `pil`, `np`, `pt` or `latent`.
            return_dict: False gives a plain tuple.

        Raises:
            ModelError: pictures, direction or type do not fit. SelectionError: no face to read.
        """
        _check_known("output_type", output_type, OUTPUT_TYPES)
        _check_known("embedding", embedding, EMBEDDINGS)
        model = LatentModel(self._denoising(bf16), num_inference_steps, name=type(self).__name__)
        along = self._direction(direction, 3 * model.image_size**2)
        many: Sequence[Any] = image if isinstance(image, list | tuple) else [image]
        crops = torch.stack([as_crop(picture, model.image_size) for picture in many])
        device = model.device
        yaws = [
            read_yaw(crop, device) if source_yaw_deg is None else source_yaw_deg for crop in crops
        ]
        name = editing or ("line" if along.flow is None else "flow")
        method = editing_method(name)
        gain = PLAIN_GAIN if gain is None and name == "line" else gain
        options = EditingOptions(name, gain, keep_norm, detail)
        encoder = choose_embedding(model, embedding)
        sources = [None] * len(crops)
        if name == "line":
            sources = list(_encode(encoder, crops, inversion_tolerance).numpy())
        requests = [
            EditRequest(encoder, pixels, yaw, yaws_deg, along, options, device, latent)
            for pixels, yaw, latent in zip(to_pixels(crops.numpy()), yaws, sources, strict=True)
        ]
        found = [method.move(request) for request in requests]
        moved = torch.from_numpy(np.concatenate([one.frames for one in found])).float()
        if output_type == "latent":
            shown: Any = moved
        elif name == "line" and embedding == "inversion":
            shown = _as_type(model.decode(moved), output_type)  # exact latents have lost no colours
        else:
            edited = [method.show(*pair) for pair in zip(requests, found, strict=True)]
            shown = _as_type(_joined(edited), output_type)
        output = HeadRotationPipelineOutput(shown, moved, tuple(yaws))
        return output if return_dict else output.to_tuple()

    def _denoising(self, bf16: bool = False) -> Denoising:
        if self.unet.dtype != torch.float32:
            raise ModelError(
                f"The weights are {self.unet.dtype}; call .to(torch.float32), and take bf16=True "
                "for speed: the sampler's sums need float32."
            )
        config = dict(self.scheduler.config)
        schedule = NoiseSchedule.from_config(config)
        return Denoising(self.unet, schedule, config["prediction_type"], bf16, config)

    def _direction(self, named: str | Direction, size: int) -> Direction:
        direction = named
        if isinstance(direction, str):
            name = direction or next(iter(self.directions), "")
            if name not in self.directions or (not direction and len(self.directions) > 1):
                known = ", ".join(self.directions) or "none: fit one and put it into .directions"
                raise ModelError(f"Which direction? {direction!r} is not among those here: {known}")
            direction = self.directions[name]
        if direction.left.size != size:
            raise ModelError(
                f"The direction is for latents of {direction.left.size} numbers, the model's "
                f"have {size}."
            )
        return direction


def _check_known(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ModelError(f"{name} {value!r}: {', '.join(known)} are known.")


def _encode(encoder: EmbeddedModel, crops: torch.Tensor, tolerance: float | None) -> torch.Tensor:
    """Latents (N, 3, S, S) of sources; `tolerance` is that of exact inversion."""
    if encoder.way == "inversion":
        return encoder.model.encode_exactly(crops, tolerance).z
    return encoder.source(crops)


def _joined(edited: Sequence[EditedFrames]) -> torch.Tensor:
    """The frames (N K, 3, S, S) of N sources, in [0, 1]."""
    return torch.from_numpy(from_pixels(np.concatenate([one.frames for one in edited])))


def _as_type(
    images: torch.Tensor, output_type: str
) -> list[Image.Image] | np.ndarray | torch.Tensor:
    if output_type == "pt":
        return images
    if output_type == "np":
        return images.permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(frame) for frame in to_pixels(images.numpy())]


def _parts(folder: Path) -> tuple[Any, DDIMScheduler]:
    """Network and scheduler of a folder without an index."""
    denoising = load_denoising(folder)
    return denoising.unet, DDIMScheduler.from_config(dict(denoising.scheduler))


def _forget_origin(path: Path) -> None:
    """Take the folder a model was read from out of a written config: it is nobody's business."""
    config = json.loads(path.read_text("utf-8"))
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def as_crop(picture: Picture, size: int) -> torch.Tensor:
    """The crop (3, S, S) in [0, 1], float32, of a picture; `ModelError` for another shape."""
    if isinstance(picture, Image.Image):
        exact = picture.size == (size, size)
        pixels = np.asarray(picture.convert("RGB")) if exact else standard_crop(picture, size)
        return torch.from_numpy(from_pixels(pixels[None])[0])
    if isinstance(picture, np.ndarray):
        if picture.dtype == np.uint8:
            picture = picture.astype(np.float32) / 255
        crop = torch.from_numpy(np.moveaxis(picture, -1, 0).astype(np.float32))
    else:
        crop = picture.detach().to("cpu", torch.float32)
    if crop.shape != (3, size, size) or not bool(((crop >= 0) & (crop <= 1)).all()):
        raise ModelError(
            f"A crop of {size} x {size} pixels in [0, 1] is needed, array (S, S, 3) or tensor "
            f"(3, S, S), not {tuple(picture.shape)}; or give a PIL image, which is cropped."
        )
    return crop


def read_yaw(crop: torch.Tensor, device: torch.device | str) -> float:
    """The yaw in degrees of a crop (3, S, S), by landmarks found on `device`.

    Raises `SelectionError` where there is no face.
    """
    from rotation.poses.mtcnn import LandmarkDetector  # late: loads MTCNN

    found = LandmarkDetector(device).crop_poses(to_pixels(crop[None].numpy()))
    yaw = float(found.yaw_deg[0])
    if not np.isfinite(yaw) or found.confidence[0] < MIN_CONFIDENCE:
        raise SelectionError("No face is found in the picture; say its yaw with source_yaw_deg.")
    return yaw
