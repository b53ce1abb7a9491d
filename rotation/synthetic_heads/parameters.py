"""The parameters of a synthetic head: exactly what is visible in its image.

Lengths are in decimetres of a life-size head (1.0 = 100 mm); colours are sRGB in [0, 1].
Left and right are the viewer's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

RGB = tuple[float, float, float]
LightClass = Literal["left", "center", "right", "boundary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One person: shape, colours and hair. Only ``hair_part`` differs between left and right."""

    male: bool
    face_width: float
    face_length: float
    jaw_width: float
    jaw_square: float
    chin: float
    cheeks: float
    brow_ridge: float
    nose_length: float
    nose_width: float
    nose_height: float
    eye_spacing: float
    eye_size: float
    eye_open: float
    eye_tilt: float
    brow_thickness: float
    brow_arch: float
    mouth_width: float
    lip_fullness: float
    wrinkles: float
    skin: RGB
    lips: RGB
    iris: RGB
    hair: RGB
    brows: RGB
    hair_volume: float
    hairline: float
    fringe: float
    hair_part: float
    hair_sides: float
    hair_length: float
    beard: float
    glasses: float
    frame: RGB
    cloth: RGB
    neckline: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """How a person is seen: pose, expression, light and background.

    ``yaw_deg`` > 0 looks towards the viewer's right, ``pitch_deg`` > 0 up, ``roll_deg`` > 0 is
    clockwise as seen. ``light_azimuth_deg`` > 0 is light from the viewer's left (the sign of the
    Extended Yale B file names), ``light_elevation_deg`` > 0 from above; ``light_strength`` in
    [0, 1] is the lamp's share against the ambient light. ``smile`` is in [0, 1].
    The background runs from its left colour to its right one.
    """

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    smile: float = 0.2
    light_azimuth_deg: float = 0.0
    light_elevation_deg: float = 20.0
    light_strength: float = 0.7
    background_left: RGB = (0.55, 0.58, 0.62)
    background_right: RGB = (0.55, 0.58, 0.62)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head(Scene):
    """A person in a scene; ``dataclasses.replace(head, yaw_deg=20.0)`` turns it, all else equal."""

    identity: Identity


def mirror(head: Head) -> Head:
    """The head whose image is the mirrored image of ``head``."""
    return replace(
        head,
        identity=replace(head.identity, hair_part=-head.identity.hair_part),
        yaw_deg=-head.yaw_deg,
        roll_deg=-head.roll_deg,
        light_azimuth_deg=-head.light_azimuth_deg,
        background_left=head.background_right,
        background_right=head.background_left,
    )


def light_class(light_azimuth_deg: float) -> LightClass:
    """The light's class: >= 35 left, <= -35 right, within 10 center, the rest boundary."""
    if light_azimuth_deg >= 35:
        return "left"
    if light_azimuth_deg <= -35:
        return "right"
    return "center" if abs(light_azimuth_deg) <= 10 else "boundary"
