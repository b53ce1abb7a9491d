"""The colour of each point of a head's surface, and the ambient light that reaches it.

Points are in the head's own coordinates, so the paint turns with the head. All colours are sRGB in
[0, 1]. The lighting model squares them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rotation.synthetic_heads.fields import Floats, Ints, bump, cover, mix, ramp
from rotation.synthetic_heads.parameters import Head, Identity
from rotation.synthetic_heads.shape import face_height, hair_field, nose_tip_height

SOFT = 0.03


@dataclass(slots=True)
class Paint:
    """Per point: ``colour`` (3, P), ``occlusion`` (P,) share of ambient light, ``gloss`` (P,)."""

    colour: Floats
    occlusion: Floats
    gloss: Floats

    def take(self, where: Ints) -> Paint:
        """A copy of the paint at some points."""
        return Paint(self.colour[:, where], self.occlusion[where], self.gloss[where])

    def put(self, where: Ints, part: Paint) -> None:
        """Write back what ``take`` gave."""
        self.colour[:, where] = part.colour
        self.occlusion[where] = part.occlusion
        self.gloss[where] = part.gloss


def plain(colour: tuple[float, ...], count: int, gloss: float = 0.0) -> Paint:
    """One colour everywhere, fully open to the ambient light."""
    flat = np.empty((3, count), np.float32)
    flat[:] = np.asarray(colour, np.float32)[:, None]
    return Paint(flat, np.ones(count, np.float32), np.full(count, gloss, np.float32))


def paint_head(head: Head, base: Floats) -> Paint:
    """Skin with a face, and hair where it grows. ``base`` (3, P) in head coordinates."""
    person = head.identity
    paint = plain(person.skin, base.shape[1], 0.05)
    front = np.flatnonzero((base[2] > 0.1) & (base[1] < 0.6))
    face = paint.take(front)
    _paint_face(head, base[0, front], face_height(person, base[1, front]), face)
    paint.put(front, face)
    if person.hair_volume > 0:
        _paint_short_hair(person, base, paint)
    return paint


def _paint_face(head: Head, x: Floats, y: Floats, paint: Paint) -> None:
    person, s = head.identity, np.abs(x)
    _blush(person, s, y, paint)
    _hollows(person, head.smile, s, y, paint)
    if person.beard > 0:
        _beard(person, s, y, paint)
    low = np.flatnonzero((y < -0.45) & (y > -0.95) & (s < 0.45))
    mouth = paint.take(low)
    _mouth(head, s[low], y[low], mouth)
    paint.put(low, mouth)
    beside = np.abs(s - person.eye_spacing)
    near = np.flatnonzero((np.abs(y) < 0.2) & (beside < 0.24))
    eyes = paint.take(near)
    _eyes(person, s[near], y[near], eyes)
    paint.put(near, eyes)
    near = np.flatnonzero((y > 0.0) & (y < 0.32) & (beside < 0.28))
    brows = paint.take(near)
    _brows(person, s[near], y[near], brows)
    paint.put(near, brows)


def _blush(person: Identity, s: Floats, y: Floats, paint: Paint) -> None:
    tip = nose_tip_height(person)
    warm = bump((s - 0.42) / 0.17, (y + 0.32) / 0.14) + 0.7 * bump(s / 0.13, (y - tip) / 0.1)
    paint.colour *= 1 - warm * np.array([[-0.02], [0.09], [0.08]], np.float32)


def _hollows(person: Identity, smile: float, s: Floats, y: Floats, paint: Paint) -> None:
    """Reduce ambient light in the eye sockets, beside the nose, and under nose and lip."""
    tip = nose_tip_height(person)
    socket = 0.30 * bump((s - person.eye_spacing + 0.03) / 0.15, (y - 0.06) / 0.085)
    beside = 0.22 * bump((s - 0.18 * person.nose_width) / 0.05, (y - tip * 0.7) / 0.16)
    under_nose = 0.24 * bump(s / 0.14, (y - tip + 0.12) / 0.035)
    under_lip = 0.25 * bump(s / 0.18, (y + 0.83) / 0.04)
    fold_x = 0.20 + 0.12 * smile + 0.30 * (tip - 0.02 - y)
    depth = 0.10 + 0.22 * person.wrinkles + 0.20 * smile
    fold = depth * bump((s - fold_x) / 0.025, (y + 0.56) / 0.10)
    bag = 0.28 * person.wrinkles * bump((s - person.eye_spacing) / 0.11, (y + 0.115) / 0.022)
    lines = (
        0.20
        * person.wrinkles
        * (bump(s / 0.3, (y - 0.46) / 0.02) + bump(s / 0.3, (y - 0.56) / 0.02))
    )
    dark = socket + beside + under_nose + under_lip + fold + bag + lines
    paint.occlusion *= np.maximum(1 - dark, 0.15)
    nostril = bump((s - 0.065 * person.nose_width) / 0.030, (y - tip + 0.085) / 0.022)
    paint.colour *= 1 - 0.6 * nostril
    paint.colour *= 1 - 0.35 * np.minimum(fold + bag + lines, 1)


def _beard(person: Identity, s: Floats, y: Floats, paint: Paint) -> None:
    jaw = -0.52 - 0.20 * ramp(s, 0.5, 0.15) + 0.30 * ramp(s, 0.42, 0.6)
    lower = cover(jaw - y, 0.12)
    moustache = cover(0.035 - np.abs(y + 0.575 + 0.15 * s * s), 0.05) * cover(0.27 - s, 0.08)
    sides = cover(0.05 - np.abs(s - 0.27), 0.06) * cover(-0.56 - y, 0.05)
    hole = cover(1 - np.hypot(s / 0.24, (y + 0.685) / 0.085), 0.3)
    amount = np.maximum(np.maximum(lower, moustache), sides) * (1 - hole)
    strength = min(person.beard, 1.0)
    paint.colour[:] = mix(paint.colour, person.brows, amount * strength)
    paint.gloss *= 1 - amount * strength


def mouth_line(person: Identity, smile: float) -> tuple[float, float, float]:
    """Half width of the mouth, height of its middle and how far its corners rise."""
    return 0.25 * person.mouth_width * (1 + 0.18 * smile), -0.68, 0.085 * smile - 0.008


def _mouth(head: Head, s: Floats, y: Floats, paint: Paint) -> None:
    person, smile = head.identity, head.smile
    half, middle, rise = mouth_line(person, smile)
    t = s / half
    taper = np.maximum(1 - t * t, 0)
    line = middle + rise * t * t
    full = person.lip_fullness
    gap = 0.052 * max(smile - 0.45, 0) / 0.55 * taper
    bow = 1 - 0.35 * bump(s / 0.03, 0 * s)
    upper = line + gap * 0.4 + (0.044 + 0.026 * full) * taper**0.8 * bow
    lower = line - gap - (0.058 + 0.036 * full) * taper**0.7
    lips = cover(np.minimum(upper - y, y - lower), SOFT) * cover(1 - t, 0.15)
    paint.colour[:] = mix(paint.colour, person.lips, lips * 0.9)
    paint.gloss += 0.06 * lips * (y < line)
    inside = cover(np.minimum(line + gap * 0.4 - y, y - line + gap), 0.02) * cover(0.97 - t, 0.1)
    if smile > 0.45:
        teeth = mix(np.full_like(paint.colour, 0.88), (0.35, 0.10, 0.10), ramp(t, 0.6, 1.0))
        paint.colour += (teeth - paint.colour) * (inside * min((smile - 0.45) * 6, 1))
    seam = np.abs(y - line + (gap if smile > 0.45 else 0))
    dark = cover(0.014 - seam, 0.03) * cover(1.05 - t, 0.15) * 0.75
    paint.colour *= 1 - dark


def _eyes(person: Identity, s: Floats, y: Floats, paint: Paint) -> None:
    half_width, half_height = 0.166 * person.eye_size, 0.074 * person.eye_size * person.eye_open
    u = (s - person.eye_spacing) / half_width
    v = y - person.eye_tilt * (s - person.eye_spacing)
    taper = np.maximum(1 - u * u, 0)
    top, bottom = half_height * taper**0.75, -0.72 * half_height * taper**0.9
    opening = cover(np.minimum(top - v, v - bottom), 0.022) * cover(1 - np.abs(u), 0.1)
    r = np.hypot(s - person.eye_spacing, v - 0.08 * half_height)
    white = plain((0.93, 0.91, 0.89), len(s)).colour
    eye = mix(white, person.iris, cover(0.070 - r, 0.025))
    eye = mix(eye, (0.03, 0.02, 0.02), cover(0.032 - r, 0.025))
    eye *= 1 - 0.35 * cover(v - top + 0.025, 0.05)
    paint.colour += (eye - paint.colour) * opening
    paint.occlusion += (1.0 - paint.occlusion) * 0.6 * opening
    glint = cover(0.016 - np.hypot(s - person.eye_spacing, v - 0.035), 0.02)
    paint.gloss += opening * 0.05
    paint.colour[:] = mix(paint.colour, (0.98, 0.98, 0.98), glint * opening * 0.9)
    lash_weight = 0.012 if person.male else 0.019
    lash = cover(lash_weight - np.abs(v - top - 0.008), 0.022) * cover(1.1 - np.abs(u), 0.12)
    under = 0.35 * cover(0.008 - np.abs(v - bottom), 0.022) * cover(1.0 - np.abs(u), 0.12)
    crease = 0.30 * cover(0.008 - np.abs(v - top - 0.055), 0.025) * cover(1.05 - np.abs(u), 0.2)
    dark = np.minimum(0.85 * lash + under + crease, 0.9)
    paint.colour[:] = mix(paint.colour, (0.12, 0.08, 0.07), dark)


def _brows(person: Identity, s: Floats, y: Floats, paint: Paint) -> None:
    u = (s - person.eye_spacing - 0.01) / 0.21
    height = 0.185 + 0.03 * person.brow_arch - (0.02 + 0.03 * person.brow_arch) * (u - 0.15) ** 2
    height = height + 0.05 * person.eye_tilt
    thick = person.brow_thickness * (1 - 0.35 * ramp(u, 0.1, 1.0))
    band = cover(thick - np.abs(y - height), 0.03) * cover(1 - np.abs(u), 0.18)
    paint.colour[:] = mix(paint.colour, person.brows, 0.88 * band)
    paint.gloss *= 1 - band


def _paint_short_hair(person: Identity, base: Floats, paint: Paint) -> None:
    field = hair_field(person, base)
    near = np.flatnonzero(field > -0.25)
    field, hair = field[near], paint.take(near)
    amount = cover(field, 0.05 if person.hair_volume > 0.03 else 0.12)
    hair.colour += (hair_colour(person, base[:, near]) - hair.colour) * amount
    # The hair's lip shades the skin under it.
    hair.occlusion *= 1 - 0.35 * np.exp(-((field / 0.06) ** 2)) * (1 - amount)
    hair.occlusion *= 1 - 0.25 * amount * ramp(field, 0.15, 0.0)
    hair.gloss += (0.035 - hair.gloss) * amount
    paint.put(near, hair)


def hair_colour(person: Identity, base: Floats) -> Floats:
    """Hair with broad strands (3, P)."""
    turn = np.arctan2(np.abs(base[0]), base[2])
    strands = 1 + 0.10 * np.sin(turn * 9 + base[1] * 2.5) + 0.06 * np.sin(turn * 17)
    return np.asarray(person.hair, np.float32)[:, None] * strands


def paint_curtain(person: Identity, base: Floats) -> Paint:
    """Long hair."""
    paint = plain(person.hair, base.shape[1], 0.03)
    paint.colour[:] = hair_colour(person, base)
    return paint


def paint_torso(person: Identity, points: Floats) -> Paint:
    """Clothes below the neckline, skin above it; ``points`` (3, P) in camera coordinates."""
    paint = plain(person.cloth, points.shape[1])
    s, y = np.abs(points[0]), points[1]
    skin = cover(y + 1.42 + person.neckline - 0.72 * np.maximum(0, s - 0.25), 0.03)
    skin = skin * cover(0.62 - s, 0.05)
    paint.colour[:] = mix(paint.colour, person.skin, skin)
    return paint
