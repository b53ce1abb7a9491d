"""The variants of the method that `rotation benchmark` compares.

Every registered fit method and editing method is in at least one variant: what the named variants
lack is added from the registries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rotation.directions.fit import FIT_METHODS
from rotation.editing.method import EDITING_METHODS
from rotation.errors import SelectionError
from rotation.options import AUTO, ClusterOptions, EditingOptions, FitOptions, TurnOptions


@dataclass(frozen=True)
class Variant:
    """One variant: its name, a description `about` it, and its options."""

    name: str
    about: str
    options: TurnOptions

    def at(self, yaws_deg: tuple[float, ...], seed: int, minimum: int) -> TurnOptions:
        """The options with these target yaws, this seed and this least size of clusters."""
        clusters = replace(self.options.clusters, minimum=minimum)
        return replace(self.options, yaws_deg=yaws_deg, seed=seed, clusters=clusters)


PAPER = TurnOptions(fit=FitOptions("paper"), editing=EditingOptions("line", gain=1.0))
SAMPLES = TurnOptions(fit=FitOptions("samples"), editing=EditingOptions("line", gain=AUTO))
CLOSED = replace(SAMPLES, editing=EditingOptions("closed-loop"))
FLOW = replace(SAMPLES, editing=EditingOptions("flow"))
GEOMETRY = replace(SAMPLES, editing=EditingOptions("geometry"))
NO_LIGHT = replace(PAPER, clusters=ClusterOptions(light_filter=False))
NO_ATTRIBUTES = replace(PAPER, clusters=ClusterOptions(attributes=()))
GLOBAL = replace(PAPER, clusters=ClusterOptions(light_filter=False, attributes=()))

NAMED_VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("paper", "one line per side through centroids, plain slope", PAPER),
        Variant("one-line", "one line for both sides", replace(PAPER, fit=FitOptions("one-line"))),
        Variant("no-light", "the paper's, clusters of every light", NO_LIGHT),
        Variant("no-attributes", "the paper's, any attributes", NO_ATTRIBUTES),
        Variant("global", "the paper's, any light and attributes", GLOBAL),
        Variant(
            "paper-closed",
            "the paper's line, steps calibrated on trial frames",
            replace(PAPER, editing=SAMPLES.editing),
        ),
        Variant(
            "samples",
            "a line per side through all images, steps calibrated on trial frames",
            SAMPLES,
        ),
        Variant(
            "closed-loop",
            "a line per side through all images, frames corrected by their own gradient",
            CLOSED,
        ),
        Variant(
            "carried",
            "images warped along the clusters' flow, the line through all images for the rest",
            FLOW,
        ),
        Variant(
            "geometry",
            "photographs turned by their depth, clusters and model for what was hidden",
            GEOMETRY,
        ),
        Variant(
            "regression",
            "one regression on yaw, light, yaw x light and pitch, frames corrected likewise",
            replace(CLOSED, fit=FitOptions("regression")),
        ),
    )
}


def with_registered(named: Mapping[str, Variant]) -> dict[str, Variant]:
    """The named variants, and one for each registered method that none of them uses."""
    fits = {variant.options.fit.method for variant in named.values()}
    edits = {variant.options.editing.method for variant in named.values()}
    added = [
        Variant(name, method.description, replace(CLOSED, fit=FitOptions(name)))
        for name, method in FIT_METHODS.items()
        if name not in fits
    ]
    added += [
        Variant(name, method.description, replace(SAMPLES, editing=EditingOptions(name)))
        for name, method in EDITING_METHODS.items()
        if name not in edits
    ]
    return {**named, **{variant.name: variant for variant in added}}


VARIANTS = with_registered(NAMED_VARIANTS)

BOUND = "bound"
BOUND_ABOUT = "the true renders encoded and decoded: the best that this model can show"


def choose(names: Sequence[str]) -> tuple[Variant, ...]:
    """The variants of these names, without the bound; `SelectionError` for an unknown name."""
    known = (*VARIANTS, BOUND)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        given = repr(unknown[0]) if unknown else "nothing"
        raise SelectionError(f"--variants: {given} is no variant; there are {', '.join(known)}.")
    return tuple(VARIANTS[name] for name in dict.fromkeys(names) if name != BOUND)
