"""The ways of turning that the benchmark compares, from the paper's to ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rotation.errors import SelectionError
from rotation.options import AUTO, ClusterOptions, EditingOptions, FitOptions, TurnOptions


@dataclass(frozen=True)
class Variant:
    """One way of turning: its `name`, what it is `about`, and the options that differ."""

    name: str
    about: str
    options: TurnOptions

    def at(self, yaws_deg: tuple[float, ...], seed: int, minimum: int) -> TurnOptions:
        """The options for these yaws."""
        clusters = replace(self.options.clusters, minimum=minimum)
        return replace(self.options, yaws_deg=yaws_deg, seed=seed, clusters=clusters)


PAPER = TurnOptions(fit=FitOptions("paper"), editing=EditingOptions("line", gain=1.0))
SAMPLES = TurnOptions(fit=FitOptions("samples"), editing=EditingOptions("line", gain=AUTO))
CLOSED = replace(SAMPLES, editing=EditingOptions("closed-loop"))
CARRIED = replace(SAMPLES, editing=EditingOptions("flow"))
NO_LIGHT = replace(PAPER, clusters=ClusterOptions(light_filter=False))
NO_ATTRIBUTES = replace(PAPER, clusters=ClusterOptions(attributes=()))
GLOBAL = replace(PAPER, clusters=ClusterOptions(light_filter=False, attributes=()))

VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("paper", "one line per side through centroids, plain slope", PAPER),
        Variant("one-line", "one line for both sides", replace(PAPER, fit=FitOptions("one-line"))),
        Variant("no-light", "the paper's, clusters of every light", NO_LIGHT),
        Variant("no-attributes", "the paper's, any attributes", NO_ATTRIBUTES),
        Variant("global", "the paper's, any light and attributes", GLOBAL),
        Variant(
            "paper-closed",
            "the paper's line, steps read off trial frames",
            replace(PAPER, editing=SAMPLES.editing),
        ),
        Variant(
            "samples",
            "a line per side through all images, steps read off trial frames",
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
            CARRIED,
        ),
        Variant(
            "regression",
            "one regression on yaw, light, yaw x light and pitch, frames corrected likewise",
            replace(CLOSED, fit=FitOptions("regression")),
        ),
    )
}

BOUND = "bound"
BOUND_ABOUT = "the true renders embedded and decoded: what this model can show at best"


def choose(names: Sequence[str]) -> tuple[Variant, ...]:
    """The variants of these names, less the bound; `SelectionError` for a name that is none."""
    known = (*VARIANTS, BOUND)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        said = repr(unknown[0]) if unknown else "nothing"
        raise SelectionError(f"--variants: {said} is no variant; there are {', '.join(known)}.")
    return tuple(VARIANTS[name] for name in dict.fromkeys(names) if name != BOUND)
