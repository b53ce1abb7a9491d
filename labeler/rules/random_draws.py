"""Random draws that can be repeated: who sees suggestions, mirrored images and gold questions.

A draw is a hash of what it is about. So a reloaded page shows the same, and tests can repeat it.
"""

from __future__ import annotations

import hashlib

from rotation.data.labels import LABELS

FIRST_TURNS = 20  # they contain `Rules.gold_first` gold questions


def draw(purpose: str, *numbers: int) -> float:
    """Return a random number in [0, 1), always the same for the same arguments."""
    text = ":".join([purpose, *map(str, numbers)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def is_blind(campaign_id: int, annotator_id: int, image_id: int, share: float) -> bool:
    """Whether the person sees this image without a suggestion.

    Parameters:
        share: share of the pairs of person and image without a suggestion, 0 to 1.
    """
    return draw("blind", campaign_id, annotator_id, image_id) < share


def is_mirrored(campaign_id: int, annotator_id: int, image_id: int) -> bool:
    """Whether the person sees this image mirrored, with probability 1/2."""
    return draw("mirror", campaign_id, annotator_id, image_id) < 0.5


def inserted_label(
    campaign_id: int, annotator_id: int, image_id: int, label: str, share: float
) -> str | None:
    """Return the wrong label to insert as a suggestion on a gold question, or None.

    Parameters:
        label: the right label.
        share: share of the gold questions with a wrong suggestion, 0 to 1.
    """
    if draw("planted", campaign_id, annotator_id, image_id) >= share:
        return None
    wrong = [other for other in LABELS if other != label]
    return wrong[int(2 * draw("planted label", campaign_id, annotator_id, image_id))]


def is_gold_turn(campaign_id: int, annotator_id: int, turn: int, rate: float, first: int) -> bool:
    """Whether the next image of a person is a gold question.

    Parameters:
        turn: number of images assigned to the person before, 0 for the first image.
        rate: share of gold questions after the first `FIRST_TURNS` images.
        first: number of gold questions among the first `FIRST_TURNS`, at random places.
    """
    if turn >= FIRST_TURNS:
        return draw("gold", campaign_id, annotator_id, turn) < rate
    draws = [draw("gold", campaign_id, annotator_id, one) for one in range(FIRST_TURNS)]
    return rate > 0 and sorted(draws).index(draws[turn]) < first
