"""The options of the engine as frozen dataclasses. `RunOptions` holds all options of a run.

Angles are in degrees, positive towards the viewer's right. This module imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rotation.remote_paths import ImagePlace

AUTO: Literal["auto"] = "auto"
Gain = float | Literal["auto"]
"""A factor on the displacement of a latent. `AUTO` finds it for each frame by trial frames."""

EncoderName = Literal["inversion", "smooth", "network", "refined"]
"""The name of an encoder; see `rotation.latents.encoders.build_codec`."""

EASILY_EDITED: frozenset[EncoderName] = frozenset({"smooth", "network"})
"""Encoders of photographs: inexact, but a path through their latents turns a head gradually."""


@dataclass(frozen=True)
class ClusterOptions:
    """How the clusters are selected; see `rotation.clusters.selection.Criteria`.

    Attributes:
        light: the source's light; `auto` is its label.
        light_filter: False takes images of every light.
        light_window_deg: how far the azimuth of a member's light may be from the source's; None
            goes by labels.
        azimuth_deg: of the source's light: 0 is the camera, negative the viewer's left; None takes
            that of the file.
        attributes: the attributes that members share with the source; None takes the default ones
            that the files have.
        minimum, maximum: bounds of a cluster's size.
        half_width_deg, max_half_width_deg: half the width of a yaw window, and how far it may grow.
        min_probability: the smallest probability of a member's label.
        same_person: allow other images of the source's person.
        similar: give members that look like the source more weight (`clusters.similarity`).
    """

    light: str = "auto"
    light_filter: bool = True
    light_window_deg: float | None = None
    azimuth_deg: float | None = None
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
    """How a direction is fitted.

    Attributes:
        method: the name of a fit method (`rotation.directions.fit`).
        shrink: damp the spatial frequencies on which two halves of the images disagree.
    """

    method: str = "samples"
    shrink: bool = False


@dataclass(frozen=True)
class EditingOptions:
    """How the source's latent is edited.

    Attributes:
        method: the name of an editing method (`rotation.editing.method`).
        gain: multiplies the displacement; None: the method's usual one. The closed loop
            measures instead.
        keep_norm: of a latent that is moved along the linear direction alone.
        detail: share of the warped image's detail that frames get back, by flow editing.
        relight: whether the light stays where it is while geometry turns the head. Otherwise it
            turns with the head.
    """

    method: str = "line"
    gain: Gain | None = None
    keep_norm: bool = True
    detail: float = 0.5
    relight: bool = True


@dataclass(frozen=True)
class TurnOptions:
    """How a head is turned to each of `yaws_deg`: the options of all stages of the method.

    Attributes:
        seed: of all random draws.
        source_yaw_deg: the source's own yaw; None takes the known or measured one.
    """

    yaws_deg: tuple[float, ...] = ()
    clusters: ClusterOptions = field(default_factory=ClusterOptions)
    fit: FitOptions = field(default_factory=FitOptions)
    editing: EditingOptions = field(default_factory=EditingOptions)
    seed: int = 0
    source_yaw_deg: float | None = None


@dataclass(frozen=True)
class ModelOptions:
    """The diffusion model and its encoder.

    Attributes:
        folder: a model folder or the name of a bundled model; None takes the bundled model that
            suits the images.
        device: auto, cpu, cuda, cuda:N or mps. All computations with torch use it.
        steps: the steps of the sampler.
        iterations: corrections a step when clusters are encoded by `inversion`.
        embedding: the name of the encoder; None takes the one that suits the images.
        bf16: compute in bfloat16; None does so on devices where it is faster.
        refine: let the model's refiner draw hidden parts, if it has one.
    """

    folder: Path | None = None
    device: str = "auto"
    steps: int = 10
    iterations: int = 4
    embedding: EncoderName | None = None
    bf16: bool | None = None
    refine: bool = True


@dataclass(frozen=True)
class PoseOptions:
    """Where poses come from.

    Attributes:
        csv: the user's own `poses.csv`; None estimates poses from landmarks.
        landmarks: a landmark file, `mtcnn`, or `auto`: the landmark file beside the images, or
            MTCNN where there is none.
    """

    csv: Path | None = None
    landmarks: str = "auto"


@dataclass(frozen=True)
class OutputOptions:
    """What is written besides frames, strip and reports, and how frames are finished.

    Attributes:
        animations: names among `rotation.imaging.animation.WRITERS`.
        contact_sheets: the clusters' mean images, and the frames above them.
        grid: the strip in several rows.
        side: of the images written, in pixels; 0 is the side of the model's images.
        match_colours: give frames the source's colours.
        sharpen: the amount of the unsharp mask; 0 is none, 1 is strong.
        super_resolution: an ONNX model that enlarges frames.
        paste_back: the photograph with each frame in it.
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
    """All options of `rotation run`.

    Attributes:
        images: the image set, a folder or a zip, on this machine or in a store.
        labels: its labels.csv.
        azimuths: a CSV file with the azimuth of each image's light; None: `labels` has them.
        source: the name of the image whose head is turned.
        out: the folder for frames, strip and reports.
        cache: the folder that keeps latents, poses and pose estimators between runs.
        subset: a list of the images that clusters are picked from; None: all with a label.
        source_file: a picture outside of the image set, whose head is turned; `source` is then its
            name. None: `source` names an image of the set.
    """

    images: ImagePlace
    labels: Path
    source: str
    out: Path
    cache: Path
    turn: TurnOptions
    model: ModelOptions = field(default_factory=ModelOptions)
    poses: PoseOptions = field(default_factory=PoseOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    azimuths: Path | None = None
    subset: Path | None = None
    source_file: Path | None = None
