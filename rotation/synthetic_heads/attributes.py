"""CelebA's names for what a synthetic head shows."""

from __future__ import annotations

import numpy as np

from rotation.synthetic_heads.parameters import Head
from rotation.synthetic_heads.sampling import HAIRS

_HAIR_NAMES = {
    "black": "Black_Hair",
    "brown": "Brown_Hair",
    "auburn": "Brown_Hair",
    "blond": "Blond_Hair",
    "gray": "Gray_Hair",
}


def attributes(head: Head) -> dict[str, bool]:
    """The CelebA attributes that the renderer can show, in CelebA's order, for this head."""
    person = head.identity
    bald = person.hair_volume == 0
    hair = None if bald else _hair_name(head)
    return {
        "Bald": bald,
        "Bangs": person.fringe > 0.5,
        "Big_Lips": person.lip_fullness > 0.7,
        "Big_Nose": person.nose_width > 1.12 and person.nose_height > 1.0,
        "Black_Hair": hair == "Black_Hair",
        "Blond_Hair": hair == "Blond_Hair",
        "Brown_Hair": hair == "Brown_Hair",
        "Bushy_Eyebrows": person.brow_thickness > 0.037,
        "Eyeglasses": person.glasses > 0,
        "Gray_Hair": hair == "Gray_Hair",
        "Male": person.male,
        "Mouth_Slightly_Open": head.smile > 0.6,
        "No_Beard": person.beard == 0,
        "Pale_Skin": person.skin[0] > 0.94 and person.skin[1] > 0.78,
        "Receding_Hairline": not bald and person.hairline > 0.78,
        "Smiling": head.smile > 0.45,
        "Wearing_Lipstick": person.lips[0] - person.lips[1] > 0.38,
        "Young": person.wrinkles < 0.5,
    }


def _hair_name(head: Head) -> str:
    shown = np.asarray(head.identity.hair)
    far = {name: float(((shown - colour) ** 2).sum()) for name, colour in HAIRS.items()}
    return _HAIR_NAMES[min(far, key=far.__getitem__)]
