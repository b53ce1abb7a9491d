"""Model folders that diffusers writes: opened with the right numbers, or refused by name.

Every folder goes through both doors, `LatentModel.load` (the one of `--model`) and
`HeadRotationPipeline.from_pretrained`. Both must give the same.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file

from rotation.diffusers_pipeline import HeadRotationPipeline
from rotation.diffusion import ddim
from rotation.diffusion.families import SCHEDULERS
from rotation.diffusion.latent_model import LatentModel
from rotation.diffusion.schedule import CLEAN
from rotation.errors import ModelError
from rotation.training.config import TrainingConfig, adopt_architecture

SIZE = 8
WEIGHTS = "diffusion_pytorch_model.safetensors"


def tiny_unet(**settings: Any) -> UNet2DModel:
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "sample_size": SIZE,
        "layers_per_block": 1,
        "block_out_channels": (8,),
        "norm_num_groups": 4,
        "attention_head_dim": 4,
        "down_block_types": ("AttnDownBlock2D",),
        "up_block_types": ("AttnUpBlock2D",),
    }
    return UNet2DModel(**(shape | settings)).eval()


UNET = tiny_unet()


TENSORS = len(UNET.state_dict())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "model"
    DDPMPipeline(UNET, DDPMScheduler()).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "model"))


def opened(folder: Path) -> LatentModel:
    """The model, the same through both doors."""
    model = LatentModel.load(folder, "cpu")
    pipeline = HeadRotationPipeline.from_pretrained(folder)
    ours, theirs = model.denoising.unet.state_dict(), pipeline.unet.state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
    assert pipeline.unet.config.sample_size == model.denoising.unet.config.sample_size == SIZE
    assert pipeline.scheduler.config.prediction_type == model.denoising.prediction
    power = model.schedule.alpha_bar
    assert abs(pipeline.scheduler.alphas_cumprod.double().numpy() - power).max() < 1e-6
    return model


def refusal(folder: Path) -> str:
    """The one line that opening the folder fails with, the same through both doors."""
    messages = []
    for door in (LatentModel.load, HeadRotationPipeline.from_pretrained):
        with pytest.raises(ModelError) as caught:
            door(folder)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]
    assert len(messages[0]) < 1000
    return messages[0]


def noise() -> torch.Tensor:
    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def scheduler_names() -> list[str]:
    names = [name for name in dir(diffusers) if name.endswith("Scheduler")]
    assert set(SCHEDULERS) <= set(names)
    return names


def scheduler_config(name: str) -> dict[str, Any]:
    """The config that diffusers writes for a class, or its name where the class cannot be made."""
    made = make_scheduler(name)
    return json.loads(made.to_json_string()) | {"_class_name": name}


def make_scheduler(name: str, config: dict[str, Any] | None = None) -> Any:
    """A scheduler; one of DDPM for classes that ask for another package or for arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of numpy, caused by diffusers
        try:
            return getattr(diffusers, name).from_config(config or {})
        except (ImportError, TypeError):
            return DDPMScheduler.from_config(config or {})


def write_scheduler(folder: Path, config: dict[str, Any]) -> None:
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config), "utf-8")
    index = folder / "model_index.json"
    parts = json.loads(index.read_text("utf-8"))
    parts["scheduler"] = ["diffusers", config["_class_name"]]
    index.write_text(json.dumps(parts), "utf-8")


def test_every_scheduler_of_diffusers_opens_or_is_refused_by_name(folder: Path) -> None:
    """One test, since each folder costs milliseconds."""
    for name in scheduler_names():
        config = scheduler_config(name)
        write_scheduler(folder, config)
        if name in SCHEDULERS:
            check_step(opened(folder), config)
        else:
            assert f"the scheduler is a {name}; " in refusal(folder)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize(
    "settings",
    [
        {"beta_schedule": "linear"},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing"},
        {"beta_schedule": "linear", "rescale_betas_zero_snr": True},
        {"trained_betas": [0.001 + 0.00001 * t for t in range(1000)]},
    ],
)
def test_steps_are_those_of_diffusers(
    folder: Path, prediction: str, settings: dict[str, Any]
) -> None:
    scheduler = DDIMScheduler(prediction_type=prediction, **settings)
    config = json.loads(scheduler.to_json_string())
    write_scheduler(folder, config)
    check_step(opened(folder), config)


def check_step(model: LatentModel, config: dict[str, Any], tolerance: float = 1e-3) -> None:
    """Steps of the engine are those of diffusers' DDIM with the betas of the scheduler itself."""
    own = make_scheduler(config["_class_name"], config)
    betas = own.betas
    if config.get("rescale_betas_zero_snr"):
        betas = 1 - own.alphas_cumprod / torch.cat([torch.ones(1), own.alphas_cumprod[:-1]])
    theirs = DDIMScheduler(
        trained_betas=betas.double().numpy(),
        prediction_type=config.get("prediction_type", "epsilon"),
        clip_sample=False,
    )
    theirs.set_timesteps(10)
    x = noise()
    for time, target in ((900, 800), (500, 400), (0, CLEAN)):
        with torch.no_grad():
            output = UNET(x, time).sample
            wanted = theirs.step(output, time, x).prev_sample
            found = ddim.step(x, model.eps(x, time), model.schedule, time, target)
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


def test_a_step_of_eulers_is_the_same_too(folder: Path) -> None:
    """Euler's step in x / signal is DDIM's step: a second witness, by other formulas."""
    scheduler = diffusers.EulerDiscreteScheduler(prediction_type="v_prediction")
    write_scheduler(folder, json.loads(scheduler.to_json_string()))
    model = opened(folder)
    scheduler.set_timesteps(timesteps=[900, 800, 0])
    signal, x = model.schedule.signal, noise()
    time = scheduler.timesteps[0]
    with torch.no_grad():
        output = UNET(x, time).sample
        wanted = scheduler.step(output, time, x / signal(900)).prev_sample * signal(800)
        found = ddim.step(x, model.eps(x, 900), model.schedule, 900, 800)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def half(folder: Path, dtype: torch.dtype) -> None:
    weights = load_file(folder / "unet" / WEIGHTS)
    save_file({name: value.to(dtype) for name, value in weights.items()}, folder / "unet" / WEIGHTS)


def as_variant(folder: Path) -> None:
    shutil.rmtree(folder / "unet")
    UNET.save_pretrained(folder / "unet", variant="fp16")


def as_shards(folder: Path) -> None:
    shutil.rmtree(folder / "unet")
    UNET.save_pretrained(folder / "unet", max_shard_size="10KB")


def as_shards_of_a_variant(folder: Path) -> None:
    shutil.rmtree(folder / "unet")
    UNET.save_pretrained(folder / "unet", max_shard_size="10KB", variant="fp16")


def beside_a_variant(folder: Path) -> None:
    wrong = {name: value * 0 for name, value in load_file(folder / "unet" / WEIGHTS).items()}
    save_file(wrong, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")


def flat(folder: Path) -> None:
    for part in (f"unet/{WEIGHTS}", "unet/config.json", "scheduler/scheduler_config.json"):
        (folder / part).rename(folder / Path(part).name)


def flat_without_empty_folders(folder: Path) -> None:
    flat(folder)
    (folder / "unet").rmdir()
    (folder / "scheduler").rmdir()


def flat_scheduler(folder: Path) -> None:
    (folder / "scheduler/scheduler_config.json").rename(folder / "scheduler_config.json")


def old_attention(folder: Path) -> None:
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    renamed = {}
    for name, value in load_file(folder / "unet" / WEIGHTS).items():
        first = name
        for new, was in old.items():
            first = first.replace(new, was)
        renamed[first] = value
    assert any(".proj_attn." in name for name in renamed)
    save_file(renamed, folder / "unet" / WEIGHTS)


def old_blocks(folder: Path) -> None:
    change(
        folder / "unet/config.json",
        down_block_types=["UNetResAttnDownBlock2D"],
        up_block_types=["UNetResAttnUpBlock2D"],
    )


def links_of_a_cache(folder: Path) -> None:
    blobs = folder.parent / "blobs"
    blobs.mkdir()
    for number, name in enumerate((f"unet/{WEIGHTS}", "unet/config.json")):
        (folder / name).rename(blobs / str(number))
        (folder / name).symlink_to(blobs / str(number))


def averages_beside(folder: Path) -> None:
    EMAModel(
        tiny_unet().parameters(), model_cls=UNet2DModel, model_config=UNET.config
    ).save_pretrained(folder / "unet_ema")


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


@pytest.mark.parametrize(
    "arrange",
    [
        lambda folder: None,
        lambda folder: (folder / "model_index.json").unlink(),
        lambda folder: half(folder, torch.float64),
        lambda folder: change(folder / "unet/config.json", sample_size=[SIZE, SIZE]),
        as_variant,
        as_shards,
        as_shards_of_a_variant,
        beside_a_variant,
        flat,
        flat_without_empty_folders,
        flat_scheduler,
        old_attention,
        old_blocks,
        links_of_a_cache,
        averages_beside,
    ],
)
def test_every_layout_opens_through_both_doors(
    folder: Path, arrange: Callable[[Path], object]
) -> None:
    arrange(folder)
    check_step(opened(folder), scheduler_config("DDPMScheduler"), 1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_every_precision_open(folder: Path, dtype: torch.dtype) -> None:
    half(folder, dtype)
    check_step(opened(folder), scheduler_config("DDPMScheduler"), 0.05)


def test_the_report_tells_which_weights_were_taken(folder: Path) -> None:
    assert LatentModel.load(folder, "cpu").weights == (WEIGHTS,)
    as_variant(folder)
    assert LatentModel.load(folder, "cpu").weights == ("diffusion_pytorch_model.fp16.safetensors",)


def several_variants(folder: Path) -> None:
    for name in ("fp16", "non_ema"):
        shutil.copy(
            folder / "unet" / WEIGHTS, folder / f"unet/diffusion_pytorch_model.{name}.safetensors"
        )
    (folder / "unet" / WEIGHTS).unlink()


def pickles(folder: Path) -> None:
    shutil.rmtree(folder / "unet")
    UNET.save_pretrained(folder / "unet", safe_serialization=False)


def averages_only(folder: Path) -> None:
    (folder / "unet").rename(folder / "unet_ema")


def no_index_of_shards(folder: Path) -> None:
    as_shards(folder)
    next((folder / "unet").glob("*.index.json")).unlink()


def a_pointer(folder: Path) -> None:
    (folder / "unet" / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha")


def a_pointer_for_the_config(folder: Path) -> None:
    (folder / "unet/config.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha")


def cut_off(folder: Path) -> None:
    data = (folder / "unet" / WEIGHTS).read_bytes()
    (folder / "unet" / WEIGHTS).write_bytes(data[:-7])


def a_decoder_beside(folder: Path) -> None:
    (folder / "model_index.json").unlink()
    (folder / "vqvae").mkdir()
    (folder / "vqvae/config.json").write_text('{"_class_name": "VQModel"}')


def index_of(*names: object) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        listed = {"weight_map": {str(number): name for number, name in enumerate(names)}}
        (folder / f"unet/{WEIGHTS}.index.json").write_text(json.dumps(listed))

    return write


def tensors(edit: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        weights = load_file(folder / "unet" / WEIGHTS)
        edit(weights)
        save_file(weights, folder / "unet" / WEIGHTS)

    return write


def checksums(line: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "SHA256SUMS").write_text(line)


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (several_variants, "several variants: fp16, non_ema. Remove all but one"),
        (pickles, "there is diffusion_pytorch_model.bin. Only safetensors are read, never pickles"),
        (averages_only, "unet_ema/ has averaged or other weights: rename it to unet"),
        (no_index_of_shards, "but not their .index.json"),
        (a_pointer, "is a pointer of Git LFS"),
        (a_pointer_for_the_config, "is a pointer of Git LFS"),
        (cut_off, "no readable safetensors file"),
        (a_decoder_beside, "vqvae/ is a VQModel; a latent model"),
        (index_of("../x.safetensors"), "names '../x.safetensors'"),
        (index_of("/etc/x.safetensors"), "names '/etc/x.safetensors'"),
        (index_of(".."), "names '..'"),
        (index_of(""), "names ''"),
        (index_of(3), "names 3"),
        (index_of([]), "cannot be read"),
        (index_of("a\0b.safetensors"), "shards are .safetensors files"),
        (index_of("\ud800.safetensors"), "shards are .safetensors files"),
        (index_of(), "names no file"),
        (index_of("gone.safetensors"), "gone.safetensors is missing"),
        (
            tensors(lambda w: w.pop("conv_in.bias")),
            f"1 of {TENSORS} tensors are missing: conv_in.bias",
        ),
        (
            tensors(lambda w: w.update(extra=torch.zeros(1))),
            f"1 of {TENSORS} tensors are of another network: extra",
        ),
        (
            tensors(lambda w: w.update({"conv_in.bias": torch.zeros(7)})),
            "conv_in.bias has the shape [7], not [8]",
        ),
        (
            tensors(lambda w: w.update({"conv_in.bias": torch.zeros(8, dtype=torch.int8)})),
            "holds numbers of the type I8",
        ),
        (
            tensors(lambda w: w["conv_in.bias"].fill_(float("nan"))),
            f"1 of {TENSORS} tensors hold numbers that are not finite (NaN or infinity): conv_in",
        ),
        (checksums(f"{'0' * 64}  ../x\n"), "each line is a checksum and the name"),
        (checksums("hello\n"), "each line is a checksum and the name"),
        (checksums(f"{'0' * 64}  unet/config.json\n"), "unet/config.json is damaged"),
    ],
)
def test_what_cannot_be_opened_says_what_it_is(
    folder: Path, arrange: Callable[[Path], object], message: str
) -> None:
    arrange(folder)
    assert message in refusal(folder)


def test_what_is_wrong_with_weights_is_said_before_their_checksum(folder: Path) -> None:
    checksums(f"{'0' * 64}  unet/{WEIGHTS}\n")(folder)
    assert "is damaged (its checksum differs)" in refusal(folder)
    tensors(lambda w: w["conv_in.bias"].fill_(float("inf")))(folder)
    assert "not finite" in refusal(folder)


def test_a_config_of_a_gigabyte_is_not_read(folder: Path) -> None:
    with (folder / "unet/config.json").open("r+b") as file:
        file.truncate(1 << 30)
    assert "more than 16,777,216 bytes" in refusal(folder)


def test_a_part_of_a_model_leads_to_the_model(folder: Path) -> None:
    assert refusal(folder / "unet").endswith(f"It is a part of a model: give {folder}.")
    assert "model/ is one" in refusal(folder.parent)


def test_python_names_a_variant_and_a_bundled_model(folder: Path) -> None:
    several_variants(folder)
    found = HeadRotationPipeline.from_pretrained(folder, variant="fp16", use_safetensors=True)
    assert found.image_size == SIZE
    with pytest.raises(ModelError, match=r"no weights of the variant bf16; variants: fp16"):
        HeadRotationPipeline.from_pretrained(folder, variant="bf16")
    with pytest.raises(ModelError, match=r"float32 is the only one"):
        HeadRotationPipeline.from_pretrained(folder, variant="fp16", torch_dtype=torch.float16)
    with pytest.raises(ModelError, match="no argument device_map"):
        HeadRotationPipeline.from_pretrained(folder, variant="fp16", device_map="auto")
    changed = HeadRotationPipeline.from_pretrained(
        folder, variant="fp16", scheduler=diffusers.HeunDiscreteScheduler()
    )
    assert changed.scheduler.config.beta_end == 0.012


def test_training_starts_from_a_model_of_others(folder: Path) -> None:
    as_variant(folder)
    config = adopt_architecture(TrainingConfig(steps=1, init=str(folder)))
    assert (config.image_size, config.patch, config.width) == (SIZE, 1, (8,))
    assert config.prediction == "epsilon"


def test_the_parts_of_a_pipeline_are_checked_as_files_are() -> None:
    with pytest.raises(ModelError, match="is a FlowMatchEulerDiscreteScheduler; flow matching"):
        HeadRotationPipeline(UNET, diffusers.FlowMatchEulerDiscreteScheduler())
    with pytest.raises(ModelError, match="key 'num_class_embeds': 10 was given"):
        HeadRotationPipeline(tiny_unet(num_class_embeds=10), DDPMScheduler())
    pipe = HeadRotationPipeline(
        tiny_unet(sample_size=(SIZE, SIZE)), DDPMScheduler(beta_schedule="sigmoid")
    )
    assert pipe.image_size == SIZE
    pipe.scheduler = diffusers.EDMEulerScheduler()
    with pytest.raises(ModelError, match="is a EDMEulerScheduler; EDM"):
        _ = pipe.image_size
