"""Random people and scenes from integer seeds.

Person k is the same in every data set. Training uses identities from 0 on. Benchmarks use those
from ``BENCHMARK_IDENTITY`` on, which no model has seen.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from rotation.synthetic_heads.parameters import RGB, Head, Identity, Scene

BENCHMARK_IDENTITY = 1_000_000
# Different streams, so that person 7 and scene 7 share no random numbers.
_PERSON, _SCENE, _PAIRING = 1, 2, 3

Generator = np.random.Generator
Range = tuple[float, float]

_SKINS = (
    (0.97, 0.84, 0.76),
    (0.93, 0.75, 0.64),
    (0.85, 0.65, 0.51),
    (0.69, 0.48, 0.35),
    (0.46, 0.30, 0.21),
)
HAIRS = {
    "black": (0.11, 0.09, 0.085),
    "brown": (0.33, 0.21, 0.14),
    "auburn": (0.48, 0.22, 0.11),
    "blond": (0.84, 0.67, 0.40),
    "gray": (0.72, 0.71, 0.70),
}
_IRISES = (
    (0.28, 0.17, 0.10),
    (0.20, 0.12, 0.08),
    (0.33, 0.50, 0.68),
    (0.36, 0.48, 0.32),
    (0.42, 0.44, 0.46),
)
# The colour of absent parts, so that equal images have equal parameters.
UNSEEN: RGB = (0.0, 0.0, 0.0)
_FRAMES = ((0.08, 0.08, 0.09), (0.30, 0.16, 0.08), (0.45, 0.08, 0.10))


def sample_identity(seed: int) -> Identity:
    """Person number ``seed`` (>= 0)."""
    rng = np.random.default_rng((_PERSON, seed))
    male, old = bool(rng.random() < 0.5), bool(rng.random() < 0.25)
    face = _sample_face(rng, male)
    wrinkles = rng.uniform(0.6, 1.0) if old else rng.uniform(0.0, 0.2)
    return Identity(
        male=male, wrinkles=float(wrinkles), **face, **_sample_hair(rng, male, old, face["skin"])
    )


def _sample_face(rng: Generator, male: bool) -> dict[str, Any]:
    skin = _sample_skin(rng)
    ranges: dict[str, Range] = {
        "face_width": (0.93, 1.06),
        "face_length": (0.96, 1.05) if male else (0.93, 1.02),
        "jaw_width": (-0.06, 0.10) if male else (0.02, 0.20),
        "jaw_square": (0.50, 0.74) if male else (0.60, 0.84),
        "chin": (0.3, 1.0) if male else (0.0, 0.6),
        "cheeks": (0.0, 1.0),
        "brow_ridge": (0.4, 1.0) if male else (0.0, 0.3),
        "nose_length": (0.90, 1.10),
        "nose_width": (0.90, 1.30) if male else (0.78, 1.12),
        "nose_height": (0.80, 1.25) if male else (0.70, 1.10),
        "eye_spacing": (0.295, 0.340),
        "eye_size": (0.90, 1.08) if male else (1.0, 1.18),
        "eye_open": (0.70, 1.05),
        "eye_tilt": (-0.08, 0.14),
        "brow_thickness": (0.026, 0.045) if male else (0.014, 0.028),
        "brow_arch": (0.0, 0.5) if male else (0.3, 1.0),
        "mouth_width": (0.92, 1.15),
        "lip_fullness": (0.0, 0.6) if male else (0.3, 1.0),
        "neckline": (-0.1, 0.05) if male else (0.0, 0.3),
    }
    values: dict[str, Any] = {k: float(rng.uniform(*r)) for k, r in ranges.items()}
    values["skin"] = skin
    values["lips"] = _sample_lips(rng, male, skin)
    values["iris"] = _jitter(rng, _IRISES[rng.choice(5, p=_iris_odds(skin))], 0.03)
    values["glasses"] = 1.0 if rng.random() < 0.16 else 0.0
    frame = _jitter(rng, _FRAMES[rng.integers(3)], 0.02)
    values["frame"] = frame if values["glasses"] else UNSEEN
    values["cloth"] = _rgb(rng.uniform(0.08, 0.85, 3))
    return values


def _sample_skin(rng: Generator) -> RGB:
    tone = rng.beta(1.1, 1.6) * (len(_SKINS) - 1)
    k = min(int(tone), len(_SKINS) - 2)
    low, high = np.asarray(_SKINS[k]), np.asarray(_SKINS[k + 1])
    return _rgb((low + (high - low) * (tone - k)) * rng.uniform(0.97, 1.03, 3))


def _iris_odds(skin: RGB) -> list[float]:
    return [0.3, 0.2, 0.2, 0.15, 0.15] if skin[0] > 0.84 else [0.5, 0.5, 0.0, 0.0, 0.0]


def _sample_lips(rng: Generator, male: bool, skin: RGB) -> RGB:
    natural = np.asarray(skin) * (0.86, 0.66, 0.66)
    if male:
        return _rgb(natural)
    painted = np.array([0.72, 0.16, 0.22]) * rng.uniform(0.85, 1.15)
    return _rgb(natural + (painted - natural) * rng.uniform(0.1, 0.85))


def _sample_hair(rng: Generator, male: bool, old: bool, skin: RGB) -> dict[str, Any]:
    colour = _sample_hair_colour(rng, old, skin)
    brows = np.asarray(colour) * 0.62 if max(colour) > 0.25 else np.asarray(colour)
    style = _sample_style(rng, male, old)
    bearded = male and rng.random() < 0.4
    return {
        "hair": colour if style["hair_volume"] else UNSEEN,
        "brows": _rgb(brows),
        "beard": float(rng.uniform(0.3, 1.0)) if bearded else 0.0,
        **style,
    }


def _sample_hair_colour(rng: Generator, old: bool, skin: RGB) -> RGB:
    if old and rng.random() < 0.7:
        name = "gray"
    elif skin[0] < 0.80:
        name = "black"
    else:
        name = str(rng.choice(["black", "brown", "auburn", "blond"], p=[0.25, 0.35, 0.12, 0.28]))
    return _jitter(rng, HAIRS[name], 0.03)


def _sample_style(rng: Generator, male: bool, old: bool) -> dict[str, float]:
    if male and rng.random() < (0.25 if old else 0.08):
        return _style(0.0, 0.65, 0.0, 0.0, -0.15, 0.0)
    part = float(rng.uniform(-1, 1))
    if male:
        line = float(rng.uniform(0.66, 0.90 if old else 0.74))
        sides = float(rng.uniform(-0.28, -0.02))
        return _style(float(rng.uniform(0.05, 0.20)), line, _fringe(rng, 0.2), part, sides, 0.0)
    volume, line = float(rng.uniform(0.10, 0.24)), float(rng.uniform(0.64, 0.76))
    short = rng.random() < 0.2
    length = 0.0 if short else float(rng.choice([rng.uniform(0.7, 1.1), rng.uniform(1.2, 1.9)]))
    return _style(volume, line, _fringe(rng, 0.3), part, -0.3 if short else -0.5, length)


def _fringe(rng: Generator, odds: float) -> float:
    return float(rng.uniform(0.6, 1.0)) if rng.random() < odds else 0.0


def _style(
    volume: float, line: float, fringe: float, part: float, sides: float, length: float
) -> dict[str, float]:
    return {
        "hair_volume": volume,
        "hairline": line,
        "fringe": fringe,
        "hair_part": part,
        "hair_sides": sides,
        "hair_length": length,
    }


def _jitter(rng: Generator, colour: RGB, spread: float) -> RGB:
    return _rgb(np.asarray(colour) * rng.uniform(0.9, 1.1) + rng.uniform(-spread, spread, 3))


def _rgb(values: np.ndarray) -> RGB:
    red, green, blue = (float(v) for v in np.clip(values, 0.02, 0.98))
    return red, green, blue


def sample_scene(seed: int, yaw_range: Range = (-45.0, 45.0)) -> Scene:
    """Scene number ``seed`` (>= 0): yaw uniform in ``yaw_range``, light mixed over its classes."""
    rng = np.random.default_rng((_SCENE, seed))
    low, high = yaw_range
    yaw = low + (high - low) * rng.random()
    left = _sample_background(rng)
    plain_wall = rng.random() < 0.5
    right = left if plain_wall else _rgb(np.asarray(left) * rng.uniform(0.5, 1.3, 3))
    if rng.random() < 0.5:
        left, right = right, left
    return Scene(
        yaw_deg=float(yaw),
        pitch_deg=float(np.clip(rng.normal(0, 6), -14, 14)),
        roll_deg=float(np.clip(rng.normal(0, 2), -5, 5)),
        smile=float(np.clip(rng.normal(0.4, 0.35), 0, 1)),
        light_azimuth_deg=_sample_azimuth(rng),
        light_elevation_deg=float(rng.uniform(-5, 38)),
        light_strength=float(rng.uniform(0.5, 1.0)),
        background_left=left,
        background_right=right,
    )


def _sample_azimuth(rng: Generator) -> float:
    """Light azimuth: 28 % center, 14 % boundary, 58 % left or right, symmetric in sign."""
    side = float(rng.choice([-1.0, 1.0]))
    kind = rng.random()
    if kind < 0.28:
        return side * float(rng.uniform(0, 10))
    if kind < 0.42:
        return side * float(rng.uniform(10, 35))
    return side * float(rng.uniform(35, 80))


def _sample_background(rng: Generator) -> RGB:
    grey = rng.uniform(0.12, 0.9)
    return _rgb(grey + rng.normal(0, 0.06, 3))


def pose_head(identity: Identity, scene: Scene) -> Head:
    """This person in this scene."""
    return Head(identity=identity, **asdict(scene))


def sample_heads(
    n: int,
    seed: int,
    first_identity: int = 0,
    yaw_range: Range = (-45.0, 45.0),
    images_per_identity: int = 1,
) -> list[Head]:
    """``n`` heads: identities ``first_identity`` onwards, each in its own scenes.

    Scenes come from ``seed``; head i does not depend on ``n``. Raises ``ValueError`` on a negative
    count or seed, or an empty yaw range.
    """
    if n < 0 or seed < 0 or first_identity < 0 or images_per_identity < 1:
        raise ValueError(
            "n, seed and first_identity must be >= 0 and images_per_identity >= 1; got "
            f"{n}, {seed}, {first_identity} and {images_per_identity}"
        )
    if not yaw_range[0] <= yaw_range[1]:
        raise ValueError(f"yaw_range must be (low, high) in degrees, got {yaw_range}")
    heads = []
    for k in range(n):
        person = first_identity + k // images_per_identity
        scene_seed = int(
            np.random.SeedSequence((_PAIRING, seed, first_identity, k)).generate_state(1)[0]
        )
        heads.append(pose_head(sample_identity(person), sample_scene(scene_seed, yaw_range)))
    return heads
