"""report.json: what was asked for, what was done and with what, and how well it went.

`describe_run` and `describe_model` build the report, `write_json_report` writes it.
"""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from rotation.data.records import UNKNOWN
from rotation.editing.pipeline import Rotation
from rotation.imaging.finishing import describe_finishing
from rotation.imaging.images import save_text
from rotation.latents.encoders import DiffusionCodec
from rotation.options import ClusterOptions, FitOptions, RunOptions

PACKAGES = ("numpy", "torch", "diffusers", "facenet-pytorch", "pillow")


def describe_run(result: Rotation, options: RunOptions) -> dict[str, Any]:
    """The report of a turned head, without model, times and command line."""
    turn = options.turn
    return {
        "source": {
            "name": options.source,
            "yaw_deg": result.source.yaw_deg,
            "light": result.source.light,
            "azimuth_deg": result.source.azimuth_deg,
        },
        "yaws_deg": turn.yaws_deg,
        "clusters": _describe_clusters(result, turn.clusters),
        "subset": options.subset,
        "fit": _describe_fit(result, turn.fit),
        "editing": turn.editing.method,
        "carried": {"detail": turn.editing.detail} if _is_carried(result) else None,
        "relight": turn.editing.relight if result.photographs is not None else None,
        "gain": turn.editing.gain,
        "turn": asdict(result.turn),
        "finish": describe_finishing(options.output),
        "latent_norm": {"source": result.source_norm, "frames": result.norms},
        "reconstruction_mse": result.reconstruction_mse,
        "seed": turn.seed,
        "versions": package_versions(),
    }


def _is_carried(result: Rotation) -> bool:
    """Whether the source was warped along the flow, by choice or since geometry could not do it."""
    return result.warped is not None and result.photographs is None


def _describe_clusters(result: Rotation, options: ClusterOptions) -> dict[str, Any]:
    selection = result.selection
    return {
        "angles_deg": selection.angles_deg,
        "sizes": selection.sizes,
        "attributes": selection.attributes,
        "attributes_dropped": selection.dropped,
        "half_width_deg": options.half_width_deg,
        "half_widths_deg": selection.half_widths_deg,
        "mean_yaws_deg": selection.mean_yaws_deg,
        "effective_sizes": [cluster.effective_size for cluster in selection.clusters],
        "widening": selection.widening,
        "min_probability": options.min_probability,
        "unsure_left_out": selection.uncertain_count,
        "light_window_deg": options.light_window_deg,
        "similar": options.similar,
        "same_person": options.same_person,
        "identity_known": bool(result.source.record.identities[0] != UNKNOWN),
    }


def _describe_fit(result: Rotation, options: FitOptions) -> dict[str, Any]:
    fit = result.fit
    return {
        "method": options.method,
        "shrink": options.shrink,
        "r2_left": fit.direction.r2_left,
        "r2_right": fit.direction.r2_right,
        "split_half_cosine_left": fit.cosine_left,
        "split_half_cosine_right": fit.cosine_right,
        "worth": fit.reliability and asdict(fit.reliability),
        "angles": [asdict(one) for one in result.angle_fits],
    }


def describe_model(codec: DiffusionCodec) -> dict[str, Any]:
    """A model and its encoder, as in reports."""
    return {
        "name": codec.model.name,
        "weights": list(codec.model.weights),
        "fingerprint": codec.fingerprint,
        "steps": codec.model.steps,
        "embedding": codec.encoder_name,
    }


def package_versions() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def write_json_report(report: dict[str, Any], path: Path) -> None:
    """Write a report as JSON. NaN and infinite numbers become null."""
    save_text(json.dumps(_to_json(report), indent=2, ensure_ascii=False) + "\n", path)


def _to_json(value: Any) -> Any:
    """The value with JSON's types only, and numbers rounded to six digits."""
    if isinstance(value, dict):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return float(f"{value:.6g}") if isinstance(value, float) else value
