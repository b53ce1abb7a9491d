"""Lots that fall the same way each time: who is blind, what is mirrored, when gold comes.

A hash, not a die: who reloads the page does not get another draw, and a test can repeat it.
"""

from __future__ import annotations

import hashlib

from rotation.data.labels import LABELS

FIRST_TURNS = 20  # among which a person meets `Rules.gold_first` gold images


def draw(purpose: str, *numbers: int) -> float:
    """A number in [0, 1) that is always the same for the same arguments."""
    text = ":".join([purpose, *map(str, numbers)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def is_blind(campaign_id: int, annotator_id: int, image_id: int, share: float) -> bool:
    """Whether the person sees this image without the proposal.

    Parameters:
        share: of the pairs of person and image that are blind, 0 to 1.
    """
    return draw("blind", campaign_id, annotator_id, image_id) < share


def is_mirrored(campaign_id: int, annotator_id: int, image_id: int) -> bool:
    """Whether the person sees this image mirrored, where half are."""
    return draw("mirror", campaign_id, annotator_id, image_id) < 0.5


def planted_label(
    campaign_id: int, annotator_id: int, image_id: int, label: str, share: float
) -> str | None:
    """A wrong label to show beside a gold image, for a share of them; None for the others."""
    if draw("planted", campaign_id, annotator_id, image_id) >= share:
        return None
    wrong = [other for other in LABELS if other != label]
    return wrong[int(2 * draw("planted label", campaign_id, annotator_id, image_id))]


def is_gold_turn(campaign_id: int, annotator_id: int, turn: int, rate: float, first: int) -> bool:
    """Whether a gold image is due.

    Parameters:
        turn: how many images the person has been given before, 0 at the beginning.
        rate: share of the turns after the first `FIRST_TURNS`.
        first: how many of the first `FIRST_TURNS`, spread by lot.
    """
    if turn >= FIRST_TURNS:
        return draw("gold", campaign_id, annotator_id, turn) < rate
    lots = [draw("gold", campaign_id, annotator_id, one) for one in range(FIRST_TURNS)]
    return rate > 0 and sorted(lots).index(lots[turn]) < first
