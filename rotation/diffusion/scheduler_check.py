"""Check the config of a scheduler, which says how a network was trained.

The engine reads the steps of noise and the kind of prediction. How diffusers would sample does not
matter, since the engine has its own sampler. Nothing stands in for what a config does not say,
unless every version of diffusers that left it out meant the same.
"""

from __future__ import annotations

import json
import re

from rotation.diffusion.config_kinds import (
    BOOLEAN,
    Config,
    Kind,
    check_class,
    check_keys,
    list_of,
    number,
    one_of,
    or_null,
    whole,
    wrong,
)
from rotation.diffusion.families import SCHEDULERS
from rotation.errors import ModelError

PREDICTIONS = ("epsilon", "sample", "v_prediction")
"""What a network may predict: the noise, the image, or v."""
MAX_STEPS = 100_000


def check_scheduler(path: object, config: Config) -> None:
    """Check the config of a scheduler.

    Raises:
        ModelError: the scheduler is of another family, or a value is missing or does not fit.
    """
    check_class(path, config, "scheduler", SCHEDULERS)
    for option, harmless, reason in _UNKNOWN_OPTIONS:
        if config.get(option) not in (None, False, harmless):
            raise wrong(path, option, config[option], f"null or {json.dumps(harmless)}. {reason}")
    check_keys(path, config, _SCHEDULER_KEYS, ("num_train_timesteps",))
    _check_betas(path, config)
    prediction_type(path, config)


def _check_betas(path: object, config: Config) -> None:
    if config.get("trained_betas") is not None:
        steps = config["num_train_timesteps"]
        if len(config["trained_betas"]) != steps:
            allowed = f"{steps:,} numbers, one for each of num_train_timesteps"
            raise wrong(path, "trained_betas", config["trained_betas"], allowed)
        return
    check_keys(path, config, _SCHEDULE_KEY, _SCHEDULE_KEY)
    if config["beta_schedule"] not in _SCHEDULES_WITH_ENDS:
        return
    check_keys(path, config, _BETA_KEYS, _BETA_KEYS)
    if not config["beta_start"] < config["beta_end"]:
        raise wrong(path, "beta_end", config["beta_end"], f"more than {config['beta_start']}")


def check_times(path: object, network: Config, scheduler: Config) -> None:
    """Check that a network with a table of times has each time of the scheduler.

    Raises:
        ModelError: the table has another length.
    """
    steps = scheduler["num_train_timesteps"]
    table = network.get("num_train_timesteps")
    if network.get("time_embedding_type") == "learned" and table != steps:
        allowed = f"{steps:,}, as in the scheduler's config, since time_embedding_type is 'learned'"
        raise wrong(path, "num_train_timesteps", table, allowed)


def prediction_type(path: object, config: Config) -> str:
    """What the network of a scheduler's config predicts: one of `PREDICTIONS`.

    Versions of diffusers before 0.10 wrote `predict_epsilon`, or nothing when they knew of no
    prediction but the noise. `RePaintScheduler` still knows of no other.

    Raises:
        ModelError: the config does not say it, or says two things.
    """
    older = config.get("predict_epsilon")
    if not or_null(BOOLEAN).accepts(older):
        raise wrong(path, "predict_epsilon", older, "true or false")
    said = None if older is None else ("epsilon" if older else "sample")
    if "prediction_type" in config:
        found = config["prediction_type"]
        if found not in PREDICTIONS:
            raise wrong(path, "prediction_type", found, ", ".join(PREDICTIONS))
        if said not in (None, found):
            raise wrong(path, "prediction_type", found, f"{said}, as predict_epsilon says")
        return str(found)
    if said is not None:
        return said
    if _is_before_predictions(config) or config.get("_class_name") == "RePaintScheduler":
        return "epsilon"
    raise ModelError(
        f"{path}, key 'prediction_type': it is missing; allowed: {', '.join(PREDICTIONS)}. Write "
        "what the network was trained to predict; for most DDPM models it is epsilon."
    )


def _is_before_predictions(config: Config) -> bool:
    """Whether a version of diffusers wrote the config that knew of one prediction only."""
    version = re.match(r"0\.(\d{1,4})\b", str(config.get("_diffusers_version")))
    return version is not None and int(version[1]) < _FIRST_WITH_PREDICTIONS


def _is_share(value: object) -> bool:
    return number(0, 1).accepts(value) and value not in (0, 1)


_SCHEDULES_WITH_ENDS = ("linear", "scaled_linear", "sigmoid")
_SCHEDULE_KEY = {
    "beta_schedule": one_of(
        *("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace", "exp")
    )
}
_BETA = number(1e-12, 0.999)
_SCHEDULER_KEYS = {
    "num_train_timesteps": whole(2, MAX_STEPS),
    "trained_betas": or_null(list_of(Kind("above 0 and below 1", _is_share), MAX_STEPS)),
    "rescale_betas_zero_snr": BOOLEAN,
    "variance_type": Kind(
        "null, fixed_small, fixed_small_log, fixed_large, fixed_large_log. With a learned variance "
        "the network has twice the channels",
        one_of(None, "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log").accepts,
    ),
    # How diffusers would sample. The engine has its own sampler, but odd values hint at a mistake.
    "clip_sample": BOOLEAN,
    "clip_sample_range": Kind("1: images lie in -1 to 1", number(1, 1).accepts),
    "timestep_spacing": one_of("leading", "trailing", "linspace"),
    "steps_offset": whole(0, MAX_STEPS),
}
_BETA_KEYS = {"beta_start": _BETA, "beta_end": _BETA}
_FIRST_WITH_PREDICTIONS = 10  # 0.10.0
# Options that change the steps of noise or the images, the value that does not, and the reason.
_UNKNOWN_OPTIONS: tuple[tuple[str, object, str], ...] = (
    ("use_flow_sigmas", False, "The network is one of flow matching"),
    ("timestep_type", "discrete", "The network takes scales of noise (EDM), not timesteps"),
    ("snr_shift_scale", 1.0, "The steps of noise are those of video models"),
    (
        "thresholding",
        False,
        "A sampler that cuts off values cannot run backwards; set it to false to try without it",
    ),
)
