"""The answers that people can give, and their mirror images.

`left` means that the light comes from the viewer's left.
"""

from __future__ import annotations

from collections.abc import Sequence

from rotation.data.labels import LABELS, MIRRORED_LABEL

UNSURE = "unsure"
ANSWERS = (*LABELS, UNSURE)


def mirror_label(answer: str) -> str:
    """Return the answer for the mirrored image: left and right are exchanged.

    Raises:
        ValueError: the answer is not one of `ANSWERS`.
    """
    if answer not in ANSWERS:
        raise ValueError(f"{answer!r} is not an answer; allowed are {', '.join(ANSWERS)}")
    return MIRRORED_LABEL.get(answer, answer)


def likeliest_label(probabilities: Sequence[float]) -> str | None:
    """Return the label with the highest of (p_left, p_center, p_right).

    None if two labels tie for the first place, because taking the first would favour `left`.
    """
    best = max(probabilities)
    if list(probabilities).count(best) > 1:
        return None
    return LABELS[list(probabilities).index(best)]
