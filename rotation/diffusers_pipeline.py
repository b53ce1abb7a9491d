"""Head rotation as a pipeline of diffusers, for any folder of an unconditional pixel model.

    pipe = HeadRotationPipeline.from_pretrained("ddpm-celebahq-256")
    pipe.directions["center"] = fit.direction
    pipe.save_pretrained("turner")                       # model and directions in one folder
    frames = pipe(image, yaws_deg=(-20, 0, 20), direction="center").images

This module does not import `annotations` from `__future__`, since diffusers reads the annotations
of the constructor.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils import BaseOutput
from PIL import Image

from rotation.data.crop import standard_crop
from rotation.diffusion.config_check import check_network
from rotation.diffusion.ddim_config import ddim_config
from rotation.diffusion.denoising import Denoising, load_files
from rotation.diffusion.latent_model import LatentModel
from rotation.diffusion.model_folder import (
    PIPELINE_INDEX,
    SCHEDULER_CONFIG,
    UNET_CONFIG,
    content_hash,
    find_model,
    open_folder,
)
from rotation.diffusion.refiner import FOLDER as REFINER
from rotation.diffusion.refiner import Refiner
from rotation.diffusion.schedule import NoiseSchedule
from rotation.diffusion.scheduler_check import check_times, prediction_type
from rotation.directions.direction import Direction
from rotation.directions.storage import load_directions, save_directions
from rotation.editing.method import EditedFrames, EditRequest, editing_method
from rotation.editing.pipeline import find_crop_box
from rotation.errors import ModelError, SelectionError
from rotation.imaging.images import from_pixels, to_pixels
from rotation.latents.encoder_network import FOLDER as EMBEDDING
from rotation.latents.encoder_network import EmbeddingNetwork, copy_network
from rotation.latents.encoders import DiffusionCodec, build_codec
from rotation.options import EditingOptions, EncoderName

EMBEDDINGS = ("inversion", "smooth", "network")
OUTPUT_TYPES = ("pil", "np", "pt", "latent")
LINEAR_GAIN = 1.0
"""The default gain along a direction without a flow."""
_NETWORK, _SCHEDULER = "the network's config", "the scheduler's config"  # names in messages
# Arguments of diffusers that change nothing for a local folder of safetensors.
_WITHOUT_EFFECT = frozenset(
    {
        *("cache_dir", "force_download", "local_files_only", "low_cpu_mem_usage", "proxies"),
        *("revision", "token", "use_safetensors"),
    }
)

InputImage = Image.Image | np.ndarray | torch.Tensor


@dataclass
class HeadRotationPipelineOutput(BaseOutput):
    """The frames of all images: those of the first image, yaw by yaw, then those of the next.

    Attributes:
        images: N frames as `output_type` says: PIL images, a float array (N, S, S, 3) or a tensor
            (N, 3, S, S) in [0, 1], or for `latent` the same as `latents`.
        latents: the edited latents (N, 3, S, S), float32 on the CPU.
        source_yaws_deg: the yaw of each image in degrees, as given or as read from landmarks.
        photographs: N whole photographs with the head turned; None unless geometry turned the
            heads of all images, and for `output_type="latent"`.
    """

    images: list[Image.Image] | np.ndarray | torch.Tensor
    latents: torch.Tensor
    source_yaws_deg: tuple[float, ...]
    photographs: list[Image.Image] | None = None


class HeadRotationPipeline(DiffusionPipeline):
    """Turns the head in an image along a direction in a diffusion model's latent space.

    The model is a `UNet2DModel` without conditions, for RGB images or r x r pixel blocks stacked as
    channels, trained by DDPM's steps of noise to predict epsilon, sample or v (docs/models.md).
    Only the noise schedule and the kind of prediction are read from the scheduler, which is kept as
    a `DDIMScheduler`. The sampler is `rotation.diffusion.ddim`, whose steps can be inverted.

    Attributes:
        directions: by name. They are saved and loaded with the model.
    """

    model_cpu_offload_seq = "unet"  # type: ignore[assignment]
    unet: Any  # set by register_modules; diffusers leaves its classes half untyped
    scheduler: Any

    def __init__(self, unet: UNet2DModel, scheduler: SchedulerMixin) -> None:
        super().__init__()
        network = check_network(_NETWORK, _config_of(unet))
        config = ddim_config(_config_of(scheduler), _SCHEDULER)
        check_times(_NETWORK, network, config)
        unet.register_to_config(sample_size=network["sample_size"])
        self.register_modules(unet=unet, scheduler=DDIMScheduler.from_config(config))
        self.directions: dict[str, Direction] = {}
        self._folder: Path | None = None  # where a refiner and an embedding network may lie
        self._refiners: dict[tuple[str, bool], Refiner | None] = {}
        self._embeddings: dict[tuple[str, bool], EmbeddingNetwork] = {}
        self.unet.eval().requires_grad_(False)
        self._denoising()  # raises for weights in half precision

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Any,
        *,
        variant: str | None = None,
        torch_dtype: torch.dtype | None = None,
        unet: UNet2DModel | None = None,
        scheduler: SchedulerMixin | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load a local model folder, or a bundled model, and the directions saved in it.

        The folder is opened as by `--model`: the same files, checks and messages. It need not have
        a `model_index.json`. Weights are read from safetensors only.

        Args:
            pretrained_model_name_or_path: a folder, or the name of a bundled model.
            variant: of the weights, such as `fp16`. None takes those without one, or the only one.
            torch_dtype: float32 or None. The sampler's sums need float32.
            unet: takes the place of the folder's network.
            scheduler: takes the place of the folder's scheduler.
            kwargs: others of diffusers that change nothing for a local folder.

        Raises:
            ModelError: the folder holds no such model, or is damaged; an argument is not known.
        """
        _refuse_arguments(torch_dtype, kwargs)
        files = open_folder(find_model(pretrained_model_name_or_path), variant)
        network = unet or load_files(files).unet
        own = DDIMScheduler.from_config(ddim_config(files.scheduler, _SCHEDULER))
        pipeline = cls(network, scheduler or own)
        if unet is None and scheduler is None:  # directions belong to both
            pipeline.directions = load_directions(files.folder, files.content_hash())
            pipeline._folder = files.folder
        return pipeline

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """Save model, refiner, embedding network and directions.

        This class, `--model` and diffusers can read the folder.
        """
        kwargs["safe_serialization"] = True
        super().save_pretrained(save_directory, *args, **kwargs)
        folder = Path(save_directory)
        for name in (PIPELINE_INDEX, UNET_CONFIG, SCHEDULER_CONFIG):
            _forget_origin(folder / name)
        if self.directions:
            content = content_hash(folder, kwargs.get("variant"))
            save_directions(folder, self.directions, content)
        if self._folder is None or self._folder.resolve() != folder.resolve():
            for part in (REFINER, EMBEDDING):
                shutil.rmtree(folder / part, ignore_errors=True)  # that of another model
            if self._folder is not None and (self._folder / REFINER).is_dir():
                shutil.copytree(self._folder / REFINER, folder / REFINER)
            if self._folder is not None:
                copy_network(self._folder, folder, kwargs.get("variant"))

    @property
    def image_size(self) -> int:
        """S, the side of crops, frames and latents in pixels."""
        return self._denoising().image_size

    @torch.no_grad()
    def __call__(  # noqa: PLR0913 - as diffusers' own pipelines, all by keyword
        self,
        image: InputImage | Sequence[InputImage],
        yaws_deg: Sequence[float],
        direction: str | Direction = "",
        *,
        source_yaw_deg: float | None = None,
        gain: float | None = None,
        keep_norm: bool = True,
        num_inference_steps: int = 10,
        embedding: Literal["inversion", "smooth", "network"] | None = None,
        detail: float = EditingOptions.detail,
        editing: str | None = None,
        inversion_tolerance: float | None = None,
        seed: int = 0,
        refine: bool = True,
        relight: bool = True,
        bf16: bool = False,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> HeadRotationPipelineOutput | tuple[Any, ...]:
        """Turn the head in one or more images to each of K yaws.

        Args:
            image: PIL images are cropped by `standard_crop`. Arrays (S, S, 3) and tensors (3, S, S)
                in [0, 1] are taken as crops of the model's size.
            yaws_deg: the yaws of the frames in degrees, > 0 towards the viewer's right.
            direction: a direction, or the name of one in `directions`. It may be left out if there
                is only one.
            source_yaw_deg: the yaw of the images in degrees; None reads it from landmarks.
            gain: a factor on the displacement along the direction. None is 1, or `FLOW_GAIN` with
                `flow`.
            keep_norm: see `Direction.move`. It has no effect with a flow.
            num_inference_steps: the steps of the sampler.
            embedding: the encoder. It must be that of the direction's clusters, so None takes the
                one that is saved with the direction. `inversion`, which is exact, is taken for a
                direction that was saved without one.
            detail: see `EditingOptions`. It has no effect without a flow.
            editing: the name of an editing method (`rotation.editing.method.EDITING_METHODS`).
                None takes `line` if the direction has no flow. If it has one, whole photographs
                (PIL images of another size than crops) are turned by `geometry`, crops by `flow`.
            inversion_tolerance: see `LatentModel.encode_exactly`; None is its default.
            seed: of the noise with which `geometry` draws hidden parts.
            refine: let the refiner of the model's folder draw hidden parts, if it has one.
            relight: whether the light stays where it is while `geometry` turns the head. Otherwise
                it turns with the head.
            bf16: evaluate the network in bfloat16.
            output_type: `pil`, `np`, `pt` or `latent`.
            return_dict: False returns a tuple.

        Raises:
            ModelError: image, direction or an option does not fit.
            SelectionError: no face is found in an image whose yaw is not given.
        """
        _check_known("output_type", output_type, OUTPUT_TYPES)
        if embedding is not None:
            _check_known("embedding", embedding, EMBEDDINGS)
        model = LatentModel(
            self._denoising(bf16),
            num_inference_steps,
            name=type(self).__name__,
            find_refiner=lambda: self._refiner(bf16) if refine else None,
        )
        along = self._direction(direction, 3 * model.image_size**2)
        sources = _Sources.read(image, model, source_yaw_deg)
        name = editing or _suitable_method(along, sources.photographs)
        gain = LINEAR_GAIN if gain is None and name == "line" else gain
        options = EditingOptions(name, gain, keep_norm, detail, relight)
        codec = self._codec(model, embedding, along)
        requests = sources.requests(codec, yaws_deg, along, options, inversion_tolerance, seed)
        output = _turn(requests, codec, output_type)
        return output if return_dict else output.to_tuple()

    def _denoising(self, bf16: bool = False) -> Denoising:
        if self.unet.dtype != torch.float32:
            raise ModelError(
                f"The weights are {self.unet.dtype}; call .to(torch.float32), and take bf16=True "
                "for speed: the sampler's sums need float32."
            )
        config = _config_of(self.scheduler)
        schedule = NoiseSchedule.from_config(config, _SCHEDULER)
        return Denoising(self.unet, schedule, prediction_type(_SCHEDULER, config), bf16, config)

    def _codec(
        self, model: LatentModel, embedding: str | None, direction: Direction
    ) -> DiffusionCodec:
        """The model with the encoder that was asked for, or that of the direction."""
        name = embedding or direction.encoder or "inversion"
        _check_known("embedding", name, EMBEDDINGS)
        if direction.encoder not in ("", name):
            raise ModelError(
                f"The direction was fitted to latents of the encoder {direction.encoder!r}, not "
                f"{name!r}. Leave `embedding` out, or save a direction of that encoder."
            )
        if name == "network" and self._folder is None:
            raise ModelError(
                "The embedding network lies in a model's folder, and this pipeline has none. Load "
                "it with from_pretrained, or give embedding='smooth' or 'inversion'."
            )
        network = self._embedding(model.denoising.bf16) if name == "network" else None
        return build_codec(model, cast(EncoderName, name), self._folder, network)

    def _refiner(self, bf16: bool) -> Refiner | None:
        """The refiner of the folder that the model came from. It is read once."""
        key = str(self.unet.device), bf16
        if key not in self._refiners:
            self._refiners[key] = Refiner.load(self._folder, *key) if self._folder else None
        return self._refiners[key]

    def _embedding(self, bf16: bool) -> EmbeddingNetwork:
        """The embedding network of the folder that the model came from. It is read once."""
        key = str(self.unet.device), bf16
        if key not in self._embeddings:
            self._embeddings[key] = EmbeddingNetwork.load(self._folder, *key)
        return self._embeddings[key]

    def _direction(self, named: str | Direction, size: int) -> Direction:
        direction = named
        if isinstance(direction, str):
            name = direction or next(iter(self.directions), "")
            if name not in self.directions or (not direction and len(self.directions) > 1):
                known = ", ".join(self.directions) or "none. Fit one and put it into .directions"
                raise ModelError(f"There is no direction {direction!r}; there are: {known}.")
            direction = self.directions[name]
        if direction.left.size != size:
            raise ModelError(
                f"The direction is for latents of {direction.left.size} numbers, the model's "
                f"have {size}."
            )
        return direction


@dataclass(frozen=True)
class _Sources:
    """The N images to turn.

    Attributes:
        crops: (N, 3, S, S), in [0, 1].
        photographs: the whole photographs; None where an image is a crop.
        yaws_deg: as given, or as read from landmarks.
    """

    crops: torch.Tensor
    photographs: tuple[Image.Image | None, ...]
    yaws_deg: tuple[float, ...]

    @classmethod
    def read(
        cls, image: InputImage | Sequence[InputImage], model: LatentModel, yaw_deg: float | None
    ) -> Self:
        """One image or several; `yaw_deg` is that of all, None if it is to be read."""
        size = model.image_size
        many: Sequence[Any] = image if isinstance(image, list | tuple) else [image]
        crops = torch.stack([as_crop(one, size) for one in many])
        yaws = [read_yaw(crop, model.device) if yaw_deg is None else yaw_deg for crop in crops]
        return cls(crops, tuple(_as_photograph(one, size) for one in many), tuple(yaws))

    def requests(
        self,
        codec: DiffusionCodec,
        yaws_deg: Sequence[float],
        direction: Direction,
        options: EditingOptions,
        tolerance: float | None,
        seed: int,
    ) -> list[EditRequest]:
        """What an editing method is asked for, image by image; `tolerance` as in `_encode`."""
        latents: Sequence[Any] = [None] * len(self.crops)
        if options.method == "line":
            latents = list(_encode(codec, self.crops, tolerance).numpy())
        return [
            EditRequest(
                codec,
                pixels,
                yaw,
                yaws_deg,
                direction,
                options,
                codec.model.device,
                latent,
                photograph,
                seed=seed,
            )
            for pixels, yaw, latent, photograph in zip(
                to_pixels(self.crops.numpy()), self.yaws_deg, latents, self.photographs, strict=True
            )
        ]


def _turn(
    requests: Sequence[EditRequest], codec: DiffusionCodec, output_type: str
) -> HeadRotationPipelineOutput:
    """Turn the head in each image by the editing method of its request."""
    name = requests[0].options.method
    method = editing_method(name)
    moved = [method.move(request) for request in requests]
    latents = torch.from_numpy(np.concatenate([one.frames for one in moved])).float()
    whole = None
    if output_type == "latent":
        shown: Any = latents
    elif name == "line" and codec.encoder_name == "inversion":
        # Exact latents have lost no colours that `show` would have to restore.
        shown = _as_type(codec.model.decode(latents), output_type)
    else:
        edited = [method.show(*pair) for pair in zip(requests, moved, strict=True)]
        shown = _as_type(_join_frames(edited), output_type)
        whole = _join_photographs(edited)
    yaws = tuple(request.yaw_deg for request in requests)
    return HeadRotationPipelineOutput(shown, latents, yaws, whole)


def _check_known(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ModelError(f"{name} {value!r}: {', '.join(known)} are known.")


def _encode(codec: DiffusionCodec, crops: torch.Tensor, tolerance: float | None) -> torch.Tensor:
    """Latents (N, 3, S, S) of crops (N, 3, S, S); `tolerance` is that of exact inversion."""
    if codec.encoder_name == "inversion":
        return codec.model.encode_exactly(crops, tolerance).z
    return codec.source(crops)


def _join_frames(edited: Sequence[EditedFrames]) -> torch.Tensor:
    """The frames (N K, 3, S, S) of N sources, in [0, 1]."""
    return torch.from_numpy(from_pixels(np.concatenate([one.frames for one in edited])))


def _join_photographs(edited: Sequence[EditedFrames]) -> list[Image.Image] | None:
    """The whole photographs of N sources; None if one of them has none."""
    found: list[Image.Image] = []
    for one in edited:
        if one.photographs is None:
            return None
        found += [Image.fromarray(pixels) for pixels in one.photographs]
    return found


def _as_photograph(image: InputImage, size: int) -> Image.Image | None:
    """The image if it is a whole photograph, not a crop of `size` pixels."""
    return image if isinstance(image, Image.Image) and image.size != (size, size) else None


def _suitable_method(direction: Direction, photographs: Sequence[Image.Image | None]) -> str:
    """The editing method that suits a direction and images; None is an image that is a crop."""
    if direction.flow is None:
        return "line"
    return "flow" if None in photographs else "geometry"


def _as_type(
    images: torch.Tensor, output_type: str
) -> list[Image.Image] | np.ndarray | torch.Tensor:
    if output_type == "pt":
        return images
    if output_type == "np":
        return images.permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(frame) for frame in to_pixels(images.numpy())]


def _config_of(part: Any) -> dict[str, Any]:
    """The config of a network or scheduler in JSON types, with its class in diffusers."""
    config = {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in part.config.items()
    }
    classes = type(getattr(part, "_orig_mod", part)).__mro__  # torch.compile wraps a network
    known = [one.__name__ for one in classes if one.__module__.startswith("diffusers.")]
    return config | {"_class_name": known[0] if known else type(part).__name__}


def _refuse_arguments(torch_dtype: torch.dtype | None, others: dict[str, Any]) -> None:
    if torch_dtype not in (None, torch.float32):
        raise ModelError(
            f"torch_dtype {torch_dtype}: float32 is the only one; take bf16=True in the call for "
            "speed. Weights of every precision are read."
        )
    unknown = sorted(set(others) - _WITHOUT_EFFECT)
    if unknown:
        raise ModelError(
            f"from_pretrained has no argument {', '.join(unknown)}; it has variant, torch_dtype, "
            "unet and scheduler. Call .to(device) to move the pipeline."
        )


def _forget_origin(path: Path) -> None:
    """Remove the path that the model was loaded from: it may be private."""
    config = json.loads(path.read_text("utf-8"))
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def as_crop(image: InputImage, size: int) -> torch.Tensor:
    """The crop (3, S, S), float32 in [0, 1], of an image; `ModelError` if the shape is wrong."""
    if isinstance(image, Image.Image):
        exact = image.size == (size, size)
        pixels = np.asarray(image.convert("RGB")) if exact else _cut(image, size)
        return torch.from_numpy(from_pixels(pixels[None])[0])
    if isinstance(image, np.ndarray):
        if image.dtype == np.uint8:
            image = image.astype(np.float32) / 255
        crop = torch.from_numpy(np.moveaxis(image, -1, 0).astype(np.float32))
    else:
        crop = image.detach().to("cpu", torch.float32)
    if crop.shape != (3, size, size) or not bool(((crop >= 0) & (crop <= 1)).all()):
        raise ModelError(
            f"A crop of {size} x {size} pixels in [0, 1] is needed, array (S, S, 3) or tensor "
            f"(3, S, S), not {tuple(image.shape)}; or give a PIL image, which is cropped."
        )
    return crop


def _cut(image: Image.Image, size: int) -> np.ndarray:
    return standard_crop(image, size, find_crop_box(image, "cpu"))


def read_yaw(crop: torch.Tensor, device: torch.device | str) -> float:
    """The yaw in degrees of a crop (3, S, S), by MTCNN's landmarks.

    Raises:
        SelectionError: no face is found.
    """
    from rotation.poses.mtcnn import LandmarkDetector  # late: loads MTCNN

    found = LandmarkDetector(device).estimate_crops(to_pixels(crop[None].numpy()))
    if not found.is_trusted[0]:
        raise SelectionError("No face is found in the image; give its yaw as source_yaw_deg.")
    return float(found.yaw_deg[0])
