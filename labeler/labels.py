"""The words of an answer, and what a mirror does to them.

`left` means that the light comes from the left of the picture, as the viewer sees it.
"""

from __future__ import annotations

from collections.abc import Sequence

from rotation.data.labels import LABELS, MIRRORED_LABEL

UNSURE = "unsure"
ANSWERS = (*LABELS, UNSURE)


def mirror_label(answer: str) -> str:
    """The answer for the mirrored picture: left and right swap, the rest stays.

    Raises:
        ValueError: not one of `ANSWERS`.
    """
    if answer not in ANSWERS:
        raise ValueError(f"{answer!r} is not an answer; allowed are {', '.join(ANSWERS)}")
    return MIRRORED_LABEL.get(answer, answer)


def likeliest_label(probabilities: Sequence[float]) -> str | None:
    """The label with the highest of (p_left, p_center, p_right); None where two share the top.

    Taking the first of a tie would favour `left`.
    """
    best = max(probabilities)
    if list(probabilities).count(best) > 1:
        return None
    return LABELS[list(probabilities).index(best)]
