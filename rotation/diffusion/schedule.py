"""The noise schedule of a diffusion model and the timesteps of a sampler.

A schedule gives, for each integer timestep t, the share alpha_bar[t] of the signal's power that is
left in the noisy image:

    x_t = signal(t) x_0 + noise(t) eps
    signal(t)^2 = alpha_bar[t],    noise(t)^2 = 1 - alpha_bar[t]

The coefficients are always in double precision. DDIM steps subtract nearly equal numbers, and
float32 would lose half of the accuracy of inversion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rotation.errors import ModelError

CLEAN = -1
"""Stands for the image without noise, before timestep 0. A trained model cannot invert a step that
ends here. So `timesteps` ends at timestep 0, where the noise is about 0.006."""

FIRST_SHARE = 0.98
"""Share of the schedule at which sampling starts. The last timesteps of a cosine schedule have
almost no signal, and dividing a prediction by it would magnify errors."""


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
    def cosine(cls, length: int = 1000, max_beta: float = 0.999) -> NoiseSchedule:
        """The cosine schedule with capped betas, `squaredcos_cap_v2` of diffusers.

        Source: A. Nichol, P. Dhariwal, arXiv 2102.09672, eq. 17.
        """
        edges = np.arange(length + 1, dtype=np.float64) / length
        power = np.cos((edges + 0.008) / 1.008 * np.pi / 2) ** 2
        return cls.from_betas(np.minimum(1.0 - power[1:] / power[:-1], max_beta))

    @classmethod
    def linear(cls, start: float, end: float, length: int = 1000) -> NoiseSchedule:
        """Betas that rise linearly from `start` to `end` (Ho et al., arXiv 2006.11239)."""
        return cls.from_betas(np.linspace(start, end, length))

    @classmethod
    def scaled_linear(cls, start: float, end: float, length: int = 1000) -> NoiseSchedule:
        """Betas whose square roots rise linearly, the schedule of latent diffusion models."""
        return cls.from_betas(np.linspace(start**0.5, end**0.5, length) ** 2)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """The schedule that a diffusers `scheduler_config.json` describes.

        Raises:
            ModelError: the kind of schedule or one of its options is unknown here. A guess would
                give grey images instead of a message.
        """
        for option in ("trained_betas", "rescale_betas_zero_snr"):
            if config.get(option):
                raise ModelError(f"The scheduler's option {option!r} is not supported.")
        kind = config.get("beta_schedule", "linear")
        try:
            length = int(config.get("num_train_timesteps", 1000))
            start = float(config.get("beta_start", 0.0001))
            end = float(config.get("beta_end", 0.02))
        except (TypeError, ValueError) as error:
            raise ModelError(f"The scheduler's config holds no usable numbers: {error}.") from None
        if kind == "squaredcos_cap_v2":
            return cls.cosine(length)
        if kind == "linear":
            return cls.linear(start, end, length)
        if kind == "scaled_linear":
            return cls.scaled_linear(start, end, length)
        known = "squaredcos_cap_v2, linear, scaled_linear"
        raise ModelError(
            f"Unknown beta_schedule {kind!r} in the scheduler's config; known: {known}."
        )


def timesteps(schedule_length: int, steps: int) -> tuple[int, ...]:
    """The `steps + 1` falling timesteps of a sampler; the last one is 0.

    For 10 of 1000: 980, 873, 767, 660, 553, 447, 340, 233, 127, 20, 0. With more steps the last
    but one is nearer to 0 (2 for 100 steps), so that the last step shrinks with the others.

    Sampling ends at timestep 0, not at `CLEAN`. On a cosine schedule 0.006 of noise is left, less
    than one grey level. Every step is then one-to-one, so each image has one latent.

    Raises:
        ModelError: the steps do not fit into the schedule.
    """
    first = round(FIRST_SHARE * schedule_length)
    last = max(1, round(0.2 * schedule_length / max(steps, 1)))
    if steps < 1 or (steps > 1 and first - last < steps - 1):
        raise ModelError(
            f"{steps} steps do not fit into {schedule_length} times; give 1 to {first}."
        )
    falling = np.rint(np.linspace(first, last, steps)).astype(int)
    return (*(int(time) for time in falling), 0)
