"""The families of diffusion models, told apart by the class names of diffusers.

The engine does one family: networks of RGB pixels without conditions, trained by the steps of noise
of DDPM. A class of another family is refused with the family's name and what would help.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NETWORK = "UNet2DModel"
"""The one class of networks that the engine runs."""

SCHEDULERS = (
    "DDIMScheduler",
    "DDIMInverseScheduler",
    "DDIMParallelScheduler",
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "RePaintScheduler",
    "SASolverScheduler",
    "UniPCMultistepScheduler",
)
"""Samplers of networks trained by the same steps of noise. The engine reads the steps alone."""

WHAT_WORKS = (
    "The engine does DDPM and DDIM models of RGB pixels: a UNet2DModel that needs neither text, "
    "class nor another network. Choose such a model, or train one with `rotation train`; "
    "docs/models.md lists the families."
)


@dataclass(frozen=True)
class Family:
    """A family that the engine does not do.

    Attributes:
        pattern: matches the beginning of its classes' names.
        reason: what it is, and why the engine does not do it. Ends with a full stop.
    """

    pattern: str
    reason: str


# The first that matches counts.
_FAMILIES = (
    Family("Flax|Onnx", "it is written for another library. Save it anew with the torch class."),
    Family(
        r".*(Flow|RFScheduler)|Helios|LTX|MiniMax|Piflow|RFD4|SCMScheduler|SD3|StableDiffusion3",
        "flow matching: its network predicts a velocity between noise and image, not noise.",
    ),
    Family(
        "EDM|CosineDPM|KarrasVe",
        "EDM and its relatives: the network takes images at a scale of noise, not at timesteps.",
    ),
    Family("IPNDM", "a sampler of a cosine path of its own, which is not that of DDPM."),
    Family("ScoreSde", "score SDE: the network takes a scale of noise, not timesteps."),
    Family(
        r"CMStochastic|Consistency|LatentConsistency|LCM|TCD",
        "a consistency model: it is distilled to jump to the image, and no sampler of it can run "
        "backwards. Take the model it was distilled from.",
    ),
    Family(
        "VQDiffusion|Amused|UVit|BlockRefinement|EntropyBound|DiscreteDDIM",
        "a model of tokens: it has no noise that the engine could move.",
    ),
    Family(
        r"LDM|.*Autoencoder|VQModel|Latent|StableDiffusion|Kandinsky|UnCLIP|.*Wuerstchen|Stable",
        "a latent model: it works on codes of another network, not on pixels.",
    ),
    Family(
        r".*(Transformer|DiT)|PixArt",
        "a transformer (DiT): the engine knows U-Nets only.",
    ),
    Family(
        r"UNet2DCondition|.*ControlNet|IF",
        "a network with conditions, such as text (Stable Diffusion).",
    ),
    Family(
        r"UNet1D|UNet3D|UNetMotion|UNetSpatio|I2VGen|CogVideoX|.*(Video|Audio)",
        "a model of video or sound.",
    ),
)

_FOREIGN_PIPELINES = re.compile(
    "LDM|Consistency|KarrasVe|ScoreSde|DiT|StableDiffusion|Latent|VQDiffusion|UnCLIP|IF", re.ASCII
)


def explain(kind: object) -> str:
    """What a class that the engine does not do is, and what would help; ends with a full stop."""
    for family in _FAMILIES:
        if isinstance(kind, str) and re.match(family.pattern, kind):
            return f"{family.reason} {WHAT_WORKS}"
    return WHAT_WORKS


def is_foreign_pipeline(kind: object) -> bool:
    """Whether a pipeline's class is known to be of another family, whatever parts it lists."""
    return isinstance(kind, str) and bool(_FOREIGN_PIPELINES.match(kind))


def is_latent(kind: object) -> bool:
    """Whether a class turns codes into images, so that the network beside it draws codes."""
    return isinstance(kind, str) and bool(re.match(r".*Autoencoder|VQModel|MoVQ", kind))
