"""The steps of noise of any scheduler of the family, as the config of a `DDIMScheduler`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rotation.diffusion.schedule import NoiseSchedule
from rotation.diffusion.scheduler_check import prediction_type

_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
_KEPT = (
    *("num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "trained_betas"),
    *("rescale_betas_zero_snr", "clip_sample", "clip_sample_range", "set_alpha_to_one"),
    *("steps_offset", "timestep_spacing"),
)


def ddim_config(config: Mapping[str, Any], source: object) -> dict[str, Any]:
    """The config of a `DDIMScheduler` for the network that a scheduler's config belongs to.

    Betas of a schedule that `DDIMScheduler` does not know are written one by one.

    Parameters:
        source: names the config in messages.

    Raises:
        ModelError: see `NoiseSchedule.from_config`.
    """
    power = NoiseSchedule.from_config(config, source).alpha_bar
    found = {key: config[key] for key in _KEPT if key in config}
    found |= {
        "_class_name": "DDIMScheduler",
        "prediction_type": prediction_type(source, config),
    }
    if config.get("trained_betas") is None and config["beta_schedule"] not in _SCHEDULES:
        found["trained_betas"] = (1 - power / np.append(1.0, power[:-1])).tolist()
        found |= {"beta_schedule": "linear", "rescale_betas_zero_snr": False}
    return found
