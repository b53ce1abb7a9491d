"""Who sees an image without the model's proposal."""

from __future__ import annotations

import hashlib


def is_blind(annotator_id: int, image_id: int, blind_share: float) -> bool:
    """Whether the person sees this image without the proposal: always the same answer.

    A hash, not a die: who reloads the page does not get another draw.

    Parameters:
        blind_share: the share of pairs of person and image that are blind, 0 to 1.
    """
    digest = hashlib.sha256(f"blind:{annotator_id}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:8]) < blind_share * 2**64
