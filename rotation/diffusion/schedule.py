"""The noise schedule of a diffusion model and the timesteps of a sampler.

A schedule gives, for each integer timestep t, the share alpha_bar[t] of the signal's power that is
left in the noisy image:

    x_t = signal(t) x_0 + noise(t) eps
    signal(t)^2 = alpha_bar[t],    noise(t)^2 = 1 - alpha_bar[t]

The coefficients are always in double precision. DDIM steps subtract nearly equal numbers, and
float32 would lose half of the accuracy of inversion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rotation.diffusion.scheduler_check import check_scheduler
from rotation.errors import ModelError

CLEAN = -1
"""Stands for the image without noise, before timestep 0. A trained model cannot invert a step that
ends here. So `timesteps` ends at timestep 0, where the noise is about 0.006."""

FIRST_SHARE = 0.98
"""Share of the schedule at which sampling starts. The last timesteps of a cosine schedule have
almost no signal, and dividing a prediction by it would magnify errors."""

LEAST_POWER = 1e-8
"""Signal power at which sampling can start. A prediction of float32, with errors of 1e-7, is
divided by the signal there, at least 1e-4."""


@dataclass(frozen=True)
class NoiseSchedule:
    """Signal power by timestep: `alpha_bar` (T,), float64, falling strictly within (0, 1)."""

    alpha_bar: np.ndarray

    def __post_init__(self) -> None:
        values = np.asarray(self.alpha_bar, dtype=np.float64)
        falling = values.ndim == 1 and len(values) > 1 and bool(np.all(np.diff(values) < 0))
        if not falling or values[0] >= 1 or values[-1] <= 0:
            raise ModelError("alpha_bar must be one falling row of numbers between 1 and 0.")
        object.__setattr__(self, "alpha_bar", values)

    def __len__(self) -> int:
        return len(self.alpha_bar)

    def signal(self, time: int) -> float:
        """sqrt(alpha_bar) at `time`; 1.0 at `CLEAN`."""
        return float(np.sqrt(self._power(time)))

    def noise(self, time: int) -> float:
        """sqrt(1 - alpha_bar) at `time`; 0.0 at `CLEAN`."""
        return float(np.sqrt(1.0 - self._power(time)))

    def _power(self, time: int) -> float:
        if time == CLEAN:
            return 1.0
        if not 0 <= time < len(self.alpha_bar):
            raise ModelError(f"Time {time} is outside 0..{len(self.alpha_bar) - 1}.")
        return float(self.alpha_bar[time])

    @classmethod
    def from_betas(cls, betas: np.ndarray) -> NoiseSchedule:
        """alpha_bar[t] = prod_{s <= t} (1 - beta_s) (Ho et al., arXiv 2006.11239, section 2)."""
        return cls(np.cumprod(1.0 - np.asarray(betas, dtype=np.float64)))

    @classmethod
    def cosine(cls, length: int = 1000) -> NoiseSchedule:
        """The cosine schedule with capped betas, `squaredcos_cap_v2` of diffusers.

        Source: A. Nichol, P. Dhariwal, arXiv 2102.09672, eq. 17.
        """
        return cls.from_betas(_squaredcos(0, 0, length))

    @classmethod
    def linear(cls, start: float, end: float, length: int = 1000) -> NoiseSchedule:
        """Betas that rise linearly from `start` to `end` (Ho et al., arXiv 2006.11239)."""
        return cls.from_betas(np.linspace(start, end, length))

    @classmethod
    def scaled_linear(cls, start: float, end: float, length: int = 1000) -> NoiseSchedule:
        """Betas whose square roots rise linearly, the schedule of latent diffusion models."""
        return cls.from_betas(_scaled_linear(start, end, length))

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], source: object = "the scheduler's config"
    ) -> NoiseSchedule:
        """The schedule that a diffusers `scheduler_config.json` describes.

        Parameters:
            config: what `scheduler_check.check_scheduler` accepts.
            source: names the config in messages.

        Raises:
            ModelError: the config is of another family, leaves something open, or its steps leave
                no signal. A guess would give grey images instead of a message.
        """
        check_scheduler(source, config)
        length, betas = config["num_train_timesteps"], config.get("trained_betas")
        if betas is None:
            ends = (config.get("beta_start", 0.0), config.get("beta_end", 0.0))
            betas = _BETAS[config["beta_schedule"]](*ends, length)
        power = np.cumprod(1.0 - np.asarray(betas, dtype=np.float64))
        if config.get("rescale_betas_zero_snr"):
            power = _without_last_signal(power)
        if not (power[_first_time(length)] >= LEAST_POWER and power[-1] > 0):
            raise ModelError(
                f"{source}: its {length:,} betas leave less than {LEAST_POWER:g} of the image's "
                "power where sampling starts, too little for float32. Give smaller betas or fewer "
                "steps, as the network was trained with."
            )
        return cls(power)


def _squaredcos(_start: float, _end: float, length: int) -> np.ndarray:
    times = np.arange(length + 1, dtype=np.float64) / length
    return _capped(np.cos((times + 0.008) / 1.008 * np.pi / 2) ** 2)


def _exponential(_start: float, _end: float, length: int) -> np.ndarray:
    return _capped(np.exp(-12.0 * np.arange(length + 1) / length))


def _laplace(_start: float, _end: float, length: int) -> np.ndarray:
    """Source: T. Hang, S. Gu, arXiv 2407.03297, with the root that diffusers takes."""
    from_middle = 0.5 - np.arange(length + 1, dtype=np.float64) / length
    sign = np.copysign(0.5, from_middle)
    snr = np.exp(-sign * np.log(1 - 2 * np.abs(from_middle) + 1e-6))
    return _capped(np.sqrt(snr / (1 + snr)))


def _scaled_linear(start: float, end: float, length: int) -> np.ndarray:
    return np.linspace(start**0.5, end**0.5, length) ** 2


def _sigmoid(start: float, end: float, length: int) -> np.ndarray:
    return (end - start) / (1 + np.exp(-np.linspace(-6, 6, length))) + start


def _capped(power: np.ndarray) -> np.ndarray:
    """The betas (T,) of the powers at T + 1 times, at most 0.999."""
    return np.minimum(1.0 - power[1:] / power[:-1], 0.999)


_BETAS: Mapping[str, Callable[[float, float, int], np.ndarray]] = {
    "linear": np.linspace,
    "scaled_linear": _scaled_linear,
    "squaredcos_cap_v2": _squaredcos,
    "sigmoid": _sigmoid,
    "laplace": _laplace,
    "exp": _exponential,
}
"""Betas (T,) by `beta_schedule`, from `beta_start`, `beta_end` and T."""


def _without_last_signal(power: np.ndarray) -> np.ndarray:
    """Move and stretch the signal so that none is left at the end, but a trace to divide by.

    Source: S. Lin et al., *Common Diffusion Noise Schedules and Sample Steps are Flawed*,
    arXiv 2305.08891, algorithm 1. The trace is that of diffusers' own samplers, or less.
    """
    signal = np.sqrt(power)
    signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    return np.append(signal[:-1] ** 2, min(2.0**-24, signal[-2] ** 2 / 4))


def _first_time(schedule_length: int) -> int:
    return min(round(FIRST_SHARE * schedule_length), schedule_length - 1)


def timesteps(schedule_length: int, steps: int) -> tuple[int, ...]:
    """The `steps + 1` falling timesteps of a sampler; the last one is 0.

    For 10 of 1000: 980, 873, 767, 660, 553, 447, 340, 233, 127, 20, 0. With more steps the last
    but one is nearer to 0 (2 for 100 steps), so that the last step shrinks with the others.

    Sampling ends at timestep 0, not at `CLEAN`. On a cosine schedule 0.006 of noise is left, less
    than one grey level. Every step is then one-to-one, so each image has one latent.

    Raises:
        ModelError: the steps do not fit into the schedule.
    """
    first = _first_time(schedule_length)
    last = max(1, round(0.2 * schedule_length / max(steps, 1)))
    if steps < 1 or (steps > 1 and first - last < steps - 1):
        raise ModelError(
            f"{steps} steps do not fit into {schedule_length} times; give 1 to {first}."
        )
    falling = np.rint(np.linspace(first, last, steps)).astype(int)
    return (*(int(time) for time in falling), 0)
