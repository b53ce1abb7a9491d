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

from rotation.directions.direction import Direction
from rotation.directions.storage import load_directions, save_directions
from rotation.editing.flow_editing import CARRIED_GAIN, DETAIL, turn_carried
from rotation.editing.linear_path import trajectory
from rotation.editing.results import along_path
from rotation.embedders import EmbeddedModel, Sharpened, choose_embedding
from rotation.errors import ModelError
from rotation.images import from_pixels, to_pixels
from rotation.model_folder import (
    SCHEDULER_CONFIG,
    UNET_CONFIG,
    content_hash,
    verify_checksums,
)
from rotation.pictures import Picture, as_crop, read_yaw
from rotation.postprocess import give_back_colours
from rotation.schedule import NoiseSchedule
from rotation.unet import Denoising, LatentModel, load_denoising

EMBEDDINGS = ("inversion", "smooth")
OUTPUT_TYPES = ("pil", "np", "pt", "latent")
INDEX = "model_index.json"


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
    own (`rotation.ddim`), whose steps can be inverted; of the scheduler only the noise schedule
    and the kind of prediction are read.

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
        detail: float = DETAIL,
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
                one head. Where the direction goes with a flow pictures are carried along it, and
                only the rest is multiplied. None takes 1, with a flow `CARRIED_GAIN`.
            keep_norm: see `rotation.editing.linear_path.move`; with a flow it plays no part.
            num_inference_steps: of the sampler.
            embedding: of the pictures, that of the clusters whose direction it is: `inversion`
                exactly, `smooth` as `rotation run` embeds photographs.
            detail: see `rotation.editing.flow_editing.turn_carried`; without a flow it plays no part.
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
        yaws = [read_yaw(crop) if source_yaw_deg is None else source_yaw_deg for crop in crops]
        if gain is None:
            gain = 1.0 if along.flow is None else CARRIED_GAIN
        if along.flow is not None:
            encoder = choose_embedding(model, embedding)
            frames, moved = _carry(encoder, crops, along, yaws, yaws_deg, gain, detail)
        else:
            exactly, smooth = model.encode_exactly, embedding == "smooth"
            sources = Sharpened(model)(crops) if smooth else exactly(crops, inversion_tolerance).z
            moved = _turn(sources, along, yaws, yaws_deg, gain, keep_norm)
            frames = moved if output_type == "latent" else model.decode(moved)
            if smooth and output_type != "latent":
                frames = _recoloured(frames, model.decode(sources), crops)
        shown: Any = moved if output_type == "latent" else _as_type(frames, output_type)
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


def _turn(
    sources: torch.Tensor, along: Direction, yaws: Sequence[float], to_deg: Sequence[float],
    gain: float, keep: bool,
) -> torch.Tensor:  # fmt: skip
    """The latents (N K, 3, S, S) of sources (N, 3, S, S) at N yaws, each turned to K yaws."""
    moved = [
        trajectory(z, along, yaw, [yaw + gain * (target - yaw) for target in to_deg], keep)
        for z, yaw in zip(sources.flatten(1).numpy(), yaws, strict=True)
    ]
    return torch.from_numpy(np.concatenate(moved).reshape(-1, *sources.shape[1:])).float()


def _carry(
    model: EmbeddedModel, crops: torch.Tensor, along: Direction, yaws: Sequence[float],
    to_deg: Sequence[float], gain: float, detail: float,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Frames and latents (N K, 3, S, S) of crops (N, 3, S, S), carried along the flow."""
    turned = [
        turn_carried(model, crop, along, yaw, to_deg, along_path(yaw, to_deg, gain), detail)
        for crop, yaw in zip(to_pixels(crops.numpy()), yaws, strict=True)
    ]
    frames = from_pixels(np.concatenate([one.frames for one in turned]))
    return torch.from_numpy(frames), torch.from_numpy(np.concatenate([o.moved for o in turned]))


def _recoloured(frames: torch.Tensor, again: torch.Tensor, crops: torch.Tensor) -> torch.Tensor:
    """Frames (N K, 3, S, S) with what their sources (N, 3, S, S) lost of their colours."""
    shown, seen, meant = (to_pixels(images.numpy()) for images in (frames, again, crops))
    parts = zip(np.split(shown, len(crops)), seen, meant, strict=True)
    given = [give_back_colours(part, like, crop) for part, like, crop in parts]
    return torch.from_numpy(from_pixels(np.concatenate(given)))


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
