"""HeadRotationPipeline on tiny untrained models of every kind, through files and back."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from PIL import Image

from rotation.diffusers_pipeline import HeadRotationPipeline, as_crop, read_yaw
from rotation.diffusion.latent_model import LatentModel
from rotation.directions.direction import Direction
from rotation.editing.method import (
    EDITING_METHODS,
    EditingMethod,
    EditRequest,
    MovedLatents,
    RegisteredMethod,
    TurnPath,
)
from rotation.errors import ModelError, SelectionError
from rotation.poses import mtcnn
from tests.rotation.modelling import SIZE, gradients, tiny_denoising, tiny_folder

YAWS = (-20.0, 0.0, 20.0)


def tiny_unet(size: int, channels: int = 3, attention: bool = False) -> UNet2DModel:
    torch.manual_seed(0)
    down, up = "AttnDownBlock2D", "AttnUpBlock2D"
    unet = UNet2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        attention_head_dim=None,
        down_block_types=("DownBlock2D", down if attention else "DownBlock2D"),
        up_block_types=(up if attention else "UpBlock2D", "UpBlock2D"),
    )
    # Small, and with the mild schedule below, so that the inversion of nonsense converges.
    for weights in unet.conv_out.parameters():
        weights.data *= 0.02
    return unet


def a_direction(size: int, seed: int = 0) -> Direction:
    left, right = np.random.default_rng(seed).normal(0, 0.02, (2, 3 * size * size))
    return Direction(left, right, 0.5, float("nan"))


def picture(size: int) -> Image.Image:
    ramp = gradients(1, size)[0].permute(1, 2, 0).numpy()
    return Image.fromarray(np.rint(ramp * 255).astype(np.uint8))


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize(
    ("size", "scheduler"),
    [
        (64, DDIMScheduler),
        (96, DDPMScheduler),
        pytest.param(256, DDPMScheduler, marks=pytest.mark.slow),
    ],
)
def test_foreign_pipelines_of_every_kind_turn_and_round_trip(
    prediction: str, size: int, scheduler: type, tmp_path: Path
) -> None:
    noise = scheduler(prediction_type=prediction, beta_end=0.002)
    foreign = DDPMPipeline(tiny_unet(size), noise)
    foreign.save_pretrained(tmp_path / "foreign")
    pipe = HeadRotationPipeline.from_pretrained(tmp_path / "foreign")
    assert pipe.image_size == size
    pipe.directions["center"] = a_direction(size)
    settings = {
        "source_yaw_deg": 0.0,
        "output_type": "np",
        "num_inference_steps": 3 if size < 256 else 2,
        "inversion_tolerance": 1e-3,
    }
    first = pipe(picture(size), YAWS, **settings)
    assert first.images.shape == (3, size, size, 3)
    assert np.abs(first.images[1] - np.asarray(picture(size)) / 255).mean() < 0.01
    assert np.abs(first.images[0] - first.images[2]).mean() > 0.001

    pipe.save_pretrained(tmp_path / "turner")
    again = HeadRotationPipeline.from_pretrained(tmp_path / "turner")
    second = again(picture(size), YAWS, "center", **settings)
    assert np.array_equal(first.images, second.images)
    assert "foreign" not in (tmp_path / "turner" / "unet" / "config.json").read_text()


def test_models_of_stacked_pixels_turn_too(tmp_path: Path) -> None:
    pipe = HeadRotationPipeline(tiny_unet(16, channels=12), DDIMScheduler())
    assert pipe.image_size == 32
    pipe.directions["any"] = a_direction(32)
    pipe.save_pretrained(tmp_path)
    frames = HeadRotationPipeline.from_pretrained(tmp_path)(picture(32), YAWS, source_yaw_deg=5.0)
    assert [frame.size for frame in frames.images] == [(32, 32)] * 3


def test_folders_of_this_project_need_no_index_and_go_back_to_the_engine(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny")
    (folder / "model_index.json").unlink(missing_ok=True)
    pipe = HeadRotationPipeline.from_pretrained(folder)
    pipe.directions["any"] = a_direction(SIZE)
    latent = pipe(picture(SIZE), [0.0], source_yaw_deg=0.0, output_type="latent").images
    plain = LatentModel.load(folder, device="cpu")
    crop = as_crop(picture(SIZE), SIZE)
    np.testing.assert_allclose(latent, plain.encode_source(crop[None]), atol=1e-5)
    pipe.save_pretrained(tmp_path / "saved")
    engine = LatentModel.load(tmp_path / "saved", device="cpu")
    assert torch.equal(engine.decode(latent), plain.decode(latent))


def test_attention_of_old_folders_laid_out_flat(tmp_path: Path) -> None:
    """As google/ddpm-celebahq-256: no subfolders, attention weights under their first names."""
    from safetensors.torch import load_file, save_file

    DDPMPipeline(tiny_unet(16, attention=True), DDPMScheduler()).save_pretrained(tmp_path / "new")
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copy(tmp_path / "new" / "model_index.json", flat)
    shutil.copy(tmp_path / "new" / "scheduler" / "scheduler_config.json", flat)
    shutil.copy(tmp_path / "new" / "unet" / "config.json", flat)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = load_file(tmp_path / "new" / "unet" / "diffusion_pytorch_model.safetensors")
    renamed = {}
    for key, value in weights.items():
        for new, first in old.items():
            key = key.replace(f".{new}.", f".{first}.")  # noqa: PLW2901
        renamed[key] = value
    assert any(".proj_attn." in key for key in renamed)
    save_file(renamed, flat / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})

    given = {"direction": a_direction(16), "source_yaw_deg": 0.0, "output_type": "pt"}
    frames = [
        HeadRotationPipeline.from_pretrained(folder)(picture(16), YAWS, **given).images
        for folder in (tmp_path / "new", flat)
    ]
    assert torch.equal(*frames)


@pytest.fixture(scope="module")
def pipe() -> HeadRotationPipeline:
    made = HeadRotationPipeline(
        tiny_denoising().unet, DDIMScheduler(prediction_type="v_prediction")
    )
    made.directions["left"] = a_direction(SIZE)
    return made


def test_output_in_the_style_of_diffusers(pipe: HeadRotationPipeline) -> None:
    given = {"source_yaw_deg": 0.0, "num_inference_steps": 3}
    out = pipe([picture(SIZE), picture(SIZE).transpose(Image.Transpose.ROTATE_90)], YAWS, **given)
    assert all(isinstance(frame, Image.Image) for frame in out.images)
    assert len(out.images) == 6 == len(out.latents)
    assert out[0] is out.images
    frames, latents, yaws = pipe(picture(SIZE), YAWS, output_type="pt", return_dict=False, **given)
    assert frames.shape == latents.shape == (3, 3, SIZE, SIZE)
    assert yaws == (0.0,)
    apart = np.asarray(out.images[1]).astype(int) - _pixels(frames[1])
    assert np.abs(apart).max() <= 1  # a batch of two computes in another order


def _pixels(frame: torch.Tensor) -> np.ndarray:
    return (frame.permute(1, 2, 0) * 255).round().int().numpy()


def test_a_turn_is_the_direction_and_keeps_the_norm(pipe: HeadRotationPipeline) -> None:
    given = {"source_yaw_deg": 10.0, "output_type": "latent"}
    source, turned = pipe(picture(SIZE), [10.0, -15.0], keep_norm=False, **given).images.flatten(1)
    expected = a_direction(SIZE).displacement(10.0, -15.0)
    np.testing.assert_allclose(turned - source, expected, atol=1e-5)
    twice = pipe(picture(SIZE), [-15.0], gain=2.0, keep_norm=False, **given).images.flatten(1)[0]
    np.testing.assert_allclose(
        twice - source, a_direction(SIZE).displacement(10.0, -40.0), atol=1e-5
    )
    kept = pipe(picture(SIZE), [-15.0], **given).images
    assert float(kept.norm()) == pytest.approx(float(source.norm()), rel=1e-5)


class StillEditing(EditingMethod):
    """Shows the face as it is at every yaw."""

    def move(self, request: EditRequest) -> MovedLatents:
        latent, count = request.source_latent(), len(request.yaws_deg)
        path = TurnPath((request.yaw_deg,) * count, None)
        return MovedLatents(latent, np.stack([latent] * count), path)


def test_a_registered_editing_method_is_taken_by_name(
    pipe: HeadRotationPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = RegisteredMethod(f"{__name__}:StillEditing", "do not turn")
    monkeypatch.setitem(EDITING_METHODS, "still", entry)
    given = {"source_yaw_deg": 0.0, "num_inference_steps": 3, "output_type": "pt"}
    still = pipe(picture(SIZE), [0.0, 20.0], editing="still", **given).images
    assert torch.equal(still[0], still[1])
    turned = pipe(picture(SIZE), [0.0, 20.0], editing="line", **given).images
    assert not torch.equal(turned[0], turned[1])
    with pytest.raises(SelectionError, match="no editing method 'spin'"):
        pipe(picture(SIZE), [0.0], editing="spin", **given)


def test_photographs_are_embedded_smoothly_and_get_their_colours_back(
    pipe: HeadRotationPipeline,
) -> None:
    given = {"source_yaw_deg": 0.0, "num_inference_steps": 3, "embedding": "smooth"}
    two = [picture(SIZE), picture(SIZE).transpose(Image.Transpose.ROTATE_90)]
    latents = pipe(two, [0.0, 20.0], output_type="latent", **given).images
    exact = pipe(two, [0.0], **(given | {"embedding": "inversion"})).latents
    assert not torch.allclose(latents[::2], exact, atol=1e-3)
    frames = pipe(two, [0.0, 20.0], output_type="np", **given).images
    for frame, crop in zip(frames[::2], two, strict=True):  # at no turn: the colours of the crop
        np.testing.assert_allclose(
            frame.mean(axis=(0, 1)), np.asarray(crop).mean(axis=(0, 1)) / 255, atol=0.06
        )
    with pytest.raises(ModelError, match="inversion, smooth, network"):
        pipe(two, [0.0], embedding="adam")


def test_arrays_and_tensors_are_taken_as_crops(pipe: HeadRotationPipeline) -> None:
    pixels = np.asarray(picture(SIZE))
    forms = [
        picture(SIZE),
        pixels,
        pixels / 255.0,
        torch.from_numpy(pixels / 255.0).permute(2, 0, 1),
    ]
    crops = [as_crop(form, SIZE) for form in forms]
    assert all(torch.allclose(crop, crops[0], atol=1e-6) for crop in crops)
    with Image.new("RGB", (178, 218)) as whole:
        assert as_crop(whole, SIZE).shape == (3, SIZE, SIZE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"direction": "right"}, r"There is no direction 'right'; there are: left"),
        ({"direction": Direction(np.zeros(9), np.zeros(9), 1, 1)}, "for latents of 9 numbers"),
        ({"output_type": "video"}, "output_type 'video'"),
        ({"image": np.zeros((9, 9, 3))}, "A crop of 16 x 16"),
        ({"image": np.full((SIZE, SIZE, 3), 7.0)}, r"in \[0, 1\]"),
    ],
)
def test_what_does_not_fit_is_refused(
    pipe: HeadRotationPipeline, change: dict, message: str
) -> None:
    given = {"image": picture(SIZE), "yaws_deg": YAWS, "source_yaw_deg": 0.0} | change
    with pytest.raises(ModelError, match=message):
        pipe(**given)


def test_the_yaw_of_a_picture_is_read_where_the_network_is(
    pipe: HeadRotationPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def detector(device: torch.device | str) -> NoReturn:
        asked.append(str(device))
        raise SelectionError("Only the device is wanted.")

    monkeypatch.setattr(mtcnn, "LandmarkDetector", detector)
    with pytest.raises(SelectionError, match="Only the device"):
        read_yaw(torch.zeros(3, SIZE, SIZE), "cuda:7")
    with pytest.raises(SelectionError, match="Only the device"):
        pipe(picture(SIZE), YAWS)
    assert asked == ["cuda:7", "cpu"]


def test_a_picture_without_a_face_needs_its_yaw(pipe: HeadRotationPipeline) -> None:
    with pytest.raises(SelectionError, match="source_yaw_deg"):
        pipe(Image.new("RGB", (SIZE, SIZE)), YAWS)


def test_half_precision_weights_are_named(pipe: HeadRotationPipeline) -> None:
    half = HeadRotationPipeline(tiny_unet(16), DDIMScheduler()).to(torch.float16)
    with pytest.raises(ModelError, match=r"torch\.float16"):
        half(picture(16), YAWS, a_direction(16), source_yaw_deg=0.0)


def test_folders_that_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        HeadRotationPipeline.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="no model folder"):
        HeadRotationPipeline.from_pretrained(tmp_path)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    DDPMPipeline(tiny_unet(16), DDPMScheduler()).save_pretrained(tmp_path, safe_serialization=False)
    assert list(tmp_path.rglob("*.bin"))
    with pytest.raises(ModelError, match="safetensors"):
        HeadRotationPipeline.from_pretrained(tmp_path)


def test_directions_keep_to_their_model(tmp_path: Path) -> None:
    pipe = HeadRotationPipeline(tiny_unet(16), DDIMScheduler())
    pipe.directions.update(left=a_direction(16, 1), right=a_direction(16, 2))
    pipe.save_pretrained(tmp_path / "one")
    loaded = HeadRotationPipeline.from_pretrained(tmp_path / "one").directions
    assert list(loaded) == ["left", "right"]
    for name, direction in pipe.directions.items():
        assert np.array_equal(loaded[name].left, direction.left)
        assert np.array_equal(loaded[name].right, direction.right)
        assert loaded[name].r2_left == direction.r2_left
        assert np.isnan(loaded[name].r2_right)
    torch.manual_seed(1)
    other = HeadRotationPipeline(tiny_unet(16), DDIMScheduler(prediction_type="sample"))
    other.save_pretrained(tmp_path / "two")
    shutil.copytree(tmp_path / "one" / "directions", tmp_path / "two" / "directions")
    with pytest.raises(ModelError, match="made for other weights"):
        HeadRotationPipeline.from_pretrained(tmp_path / "two")
    written = tmp_path / "one" / "directions" / "directions.json"
    kept = json.loads(written.read_text())
    del kept["directions"]["left"]["r2_left"]
    written.write_text(json.dumps(kept))
    with pytest.raises(ModelError, match="'left' does not fit"):
        HeadRotationPipeline.from_pretrained(tmp_path / "one")


@pytest.mark.parametrize(
    "name", ["HeadRotationPipeline", ["head_pipeline", "HeadRotationPipeline"]]
)
def test_folders_whose_index_names_the_class_or_its_former_module_open(
    name: str | list[str], tmp_path: Path
) -> None:
    """As saved before the class moved: an index, and a direction of each kind."""
    old = HeadRotationPipeline(tiny_unet(16), DDIMScheduler())
    flow = np.zeros(118, np.float32)
    flow[-1] = 1.0
    old.directions.update(left=a_direction(16), any=replace(a_direction(16, 1), flow=flow))
    old.save_pretrained(tmp_path)
    index = {
        "_class_name": name,
        "_diffusers_version": "0.30.0",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    opened = HeadRotationPipeline.from_pretrained(tmp_path)
    assert list(opened.directions) == ["left", "any"]
    for direction in ("left", "any"):
        output = opened(picture(16), YAWS, direction, source_yaw_deg=0.0, num_inference_steps=3)
        assert len(output.images) == 3


def test_a_direction_is_used_with_its_own_encoder(pipe: HeadRotationPipeline) -> None:
    given = {"source_yaw_deg": 0.0, "num_inference_steps": 3, "output_type": "latent"}
    plain = next(iter(pipe.directions.values()))
    of_smooth = replace(plain, encoder="smooth")
    own = pipe(picture(SIZE), [20.0], of_smooth, **given).latents
    told = pipe(picture(SIZE), [20.0], plain, embedding="smooth", **given).latents
    assert torch.equal(own, told)
    assert not torch.equal(own, pipe(picture(SIZE), [20.0], plain, **given).latents)
    with pytest.raises(ModelError, match="encoder 'smooth', not 'inversion'"):
        pipe(picture(SIZE), [20.0], of_smooth, embedding="inversion", **given)
