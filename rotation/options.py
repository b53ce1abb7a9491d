"""What a run is asked to do, typed: built once by a command, or by hand, and only read after.

Angles are degrees, positive towards the viewer's right. Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

AUTO: Literal["auto"] = "auto"
Gain = float | Literal["auto"]
"""What multiplies the displacement of a latent; `AUTO`: found for each frame by trial frames."""

EncoderName = Literal["inversion", "smooth", "network", "refined"]
"""How images become latents: `rotation.latents.encoders`."""


@dataclass(frozen=True)
class ClusterOptions:
    """Which images stand for the source at each yaw.

    Attributes:
        light: the source's light; `auto`: its label.
        light_filter: False takes images of every light.
        attributes: to share with the source; None: the usual ones of those that the files tell.
        minimum, maximum: images of a cluster.
        half_width_deg, max_half_width_deg: of its yaw window, and how far that may grow.
        min_probability: a label must be so probable.
        same_person: allows other images of the source's person.
        similar: gives members that look like the source more weight (`clusters.similarity`).
    """

    light: str = "auto"
    light_filter: bool = True
    attributes: tuple[str, ...] | None = None
    minimum: int = 20
    maximum: int = 300
    half_width_deg: float = 5.0
    max_half_width_deg: float = 10.0
    min_probability: float = 0.0
    same_person: bool = False
    similar: bool = False


@dataclass(frozen=True)
class FitOptions:
    """How a direction is fitted: the name of a fit method (`rotation.directions.fit`).

    `shrink` damps the spatial frequencies on which halves of the images disagree.
    """

    method: str = "samples"
    shrink: bool = False


@dataclass(frozen=True)
class EditingOptions:
    """How frames come from a direction.

    Attributes:
        method: the name of an editing method (`rotation.editing.method`).
        gain: multiplies the displacement; None: the method's usual one. The closed loop
            measures instead.
        keep_norm: of a latent that is moved along the linear direction alone.
        detail: share of the warped image's detail that frames get back, by flow editing.
    """

    method: str = "line"
    gain: Gain | None = None
    keep_norm: bool = True
    detail: float = 0.5


@dataclass(frozen=True)
class TurnOptions:
    """How to turn a head to each of `yaws_deg`."""

    yaws_deg: tuple[float, ...] = ()
    clusters: ClusterOptions = field(default_factory=ClusterOptions)
    fit: FitOptions = field(default_factory=FitOptions)
    editing: EditingOptions = field(default_factory=EditingOptions)
    seed: int = 0


@dataclass(frozen=True)
class ModelOptions:
    """The diffusion model and how it encodes.

    Attributes:
        folder: a folder, or a bundled name; None: the one that suits the images.
        device: auto, cpu, cuda, cuda:N. Everything that computes with torch follows it.
        steps: of the sampler. iterations: corrections a step when the clusters are encoded.
        embedding: None: the one that suits the images.
        bf16: bfloat16; None: where the processor has it.
    """

    folder: Path | None = None
    device: str = "auto"
    steps: int = 10
    iterations: int = 4
    embedding: EncoderName | None = None
    bf16: bool | None = None


@dataclass(frozen=True)
class PoseOptions:
    """Where poses come from: the user's own CSV, else `landmarks` (auto, mtcnn or a file)."""

    csv: Path | None = None
    landmarks: str = "auto"


@dataclass(frozen=True)
class OutputOptions:
    """What is written besides frames, strip and report, and how frames are finished for show.

    Attributes:
        animations: names among `rotation.imaging.animation.WRITERS`.
        side: of the images written, in pixels; 0: as the model has them.
        sharpen: a share: 0 nothing, 1 strong.
        super_resolution: an ONNX model that enlarges frames.
        save_pipeline: a folder for the model with the direction (`HeadRotationPipeline`).
    """

    animations: tuple[str, ...] = ()
    contact_sheets: bool = False
    grid: bool = False
    side: int = 0
    match_colours: bool = False
    sharpen: float = 0.0
    super_resolution: Path | None = None
    paste_back: bool = False
    save_pipeline: Path | None = None


@dataclass(frozen=True)
class RunOptions:
    """All that `rotation run` needs: turn the face `source` of `images` into the folder `out`.

    `labels` is a labels.csv; `cache` keeps latents, poses and pose estimators between runs.
    """

    images: Path
    labels: Path
    source: str
    out: Path
    cache: Path
    turn: TurnOptions
    model: ModelOptions = field(default_factory=ModelOptions)
    poses: PoseOptions = field(default_factory=PoseOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
