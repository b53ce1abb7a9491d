"""The noise schedule of a diffusion model and the times a sampler visits, in float64.

A schedule gives, at each integer time t, the share of the signal's power left in the noisy image:

    x_t = signal(t) x_0 + noise(t) eps
    signal(t)^2 = alpha_bar[t],    noise(t)^2 = 1 - alpha_bar[t]

The coefficients are Python floats in double precision whatever the model computes in: the steps
of DDIM subtract nearly equal numbers, and half of inversion's accuracy is lost here otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rotation.errors import ModelError

CLEAN = -1
"""The level past time 0: no noise at all. A step that starts or ends here is not invertible
by a real model, which is why `timesteps` ends at time 0 (noise about 0.006) instead."""

FIRST_SHARE = 0.98
"""Share of the schedule at which sampling starts: the last few times of a cosine schedule have
almost no signal, where a prediction says nothing and its division by the signal says too much."""


@dataclass(frozen=True)
class NoiseSchedule:
    """Cumulative signal power per time: `alpha_bar` (T,), float64, falling, inside (0, 1)."""

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
        """alpha_bar[t] = prod_{s<=t} (1 - beta_s) (arXiv 2006.11239, section 2)."""
        return cls(np.cumprod(1.0 - np.asarray(betas, dtype=np.float64)))

    @classmethod
    def cosine(cls, length: int = 1000, max_beta: float = 0.999) -> NoiseSchedule:
        """The cosine schedule with capped betas (arXiv 2102.09672, eq. 17; `squaredcos_cap_v2`)."""
        edges = np.arange(length + 1, dtype=np.float64) / length
        power = np.cos((edges + 0.008) / 1.008 * np.pi / 2) ** 2
        return cls.from_betas(np.minimum(1.0 - power[1:] / power[:-1], max_beta))

    @classmethod
    def linear(cls, start: float, end: float, length: int = 1000) -> NoiseSchedule:
        """Betas rising in a straight line from `start` to `end` (arXiv 2006.11239)."""
        return cls.from_betas(np.linspace(start, end, length))

    @classmethod
    def scaled_linear(cls, start: float, end: float, length: int = 1000) -> NoiseSchedule:
        """Betas whose square roots rise in a straight line (latent diffusion's schedule)."""
        return cls.from_betas(np.linspace(start**0.5, end**0.5, length) ** 2)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """The schedule that a diffusers `scheduler_config.json` describes.

        Raises `ModelError` for a kind of schedule, or an option of one, that is not known here:
        a guess would give grey images instead of a message.
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
    """The `steps + 1` times of a sampler of `steps` steps, falling evenly, then the end level 0.

    For 10 of 1000: 980, 873, 767, 660, 553, 447, 340, 233, 127, 20, then 0. More steps move the
    last but one nearer to 0 (100 steps: 2), so that the last step shrinks with the others.

    The end is time 0, not `CLEAN`: with a little noise left (0.006 of the range -1..1 on a cosine
    schedule, under one grey level) every step is one-to-one, so an image has one latent.

    Raises `ModelError` where the steps do not fit into the schedule.
    """
    first = round(FIRST_SHARE * schedule_length)
    last = max(1, round(0.2 * schedule_length / max(steps, 1)))
    if steps < 1 or (steps > 1 and first - last < steps - 1):
        raise ModelError(
            f"{steps} steps do not fit into {schedule_length} times; take 1 to {first}."
        )
    falling = np.rint(np.linspace(first, last, steps)).astype(int)
    return (*(int(time) for time in falling), 0)
