"""The priority of an image in the queue: one number, the lowest first.

The number changes only when a vote, a skill, a proposal, gold or a decision changes what is known
of the image. So an assignment only walks along an index.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from labeler.consensus.majority import VoteCounts
from labeler.rules.random_draws import draw
from labeler.statistics.posterior import entropy

STEPS = 1000  # steps of an entropy; the random key decides about finer differences
_LN3 = math.log(3)


def priority(
    order: str,
    counts: VoteCounts,
    posterior: Sequence[float],
    image_id: int,
    model_doubt: float,
    ask: int | None = None,
) -> int:
    """The place of an image in the queue of a campaign; lower is earlier.

    Parameters:
        order: One of five words.
            `breadth`: the images with the fewest votes come first.
            `random`: all images have the same priority.
            `uncertain`: the images without a vote that the model asks for come first. Then comes
            the highest sum of two entropies: of the posterior and of the votes.
            `contested`: the images whose votes disagree come first, the most evenly split before
            the others. Then come those with the most votes, so that started images are finished.
            `mixed`: a random draw gives each image `breadth` (half of the images), `uncertain`
            or `contested` (a quarter each).
        counts: the votes that count.
        posterior: (p_left, p_center, p_right).
        model_doubt: the entropy of the model's own probabilities in nats; ln 3 without a model.
        ask: the rank among the images that the model asks for (`Proposal.ask`), below `STEPS`.

    Raises:
        ValueError: an unknown order.
    """
    if order == "breadth":
        return counts.total * STEPS
    if order == "random":
        return 0
    if order == "uncertain":
        if ask is not None and not counts.total:
            return ask - STEPS
        doubt = entropy(posterior) + (vote_entropy(counts) if counts.total else model_doubt)
        return round(STEPS * (2 * _LN3 - doubt) / _LN3)
    if order == "contested":
        split = vote_entropy(counts)
        return round(-STEPS * split / _LN3) if split else STEPS * (1 + max(0, 9 - counts.total))
    if order == "mixed":
        return priority(_drawn_order(image_id), counts, posterior, image_id, model_doubt, ask)
    raise ValueError(f"{order!r} is not an order")


def vote_entropy(counts: VoteCounts) -> float:
    """The entropy of the labels that were voted for, in nats; 0 if all agree or none is named."""
    named = [n / counts.labelled for n in (counts.left, counts.center, counts.right) if n]
    return -math.fsum(share * math.log(share) for share in named) if len(named) > 1 else 0.0


def _drawn_order(image_id: int) -> str:
    drawn = draw("order", image_id)
    return "breadth" if drawn < 0.5 else "uncertain" if drawn < 0.75 else "contested"
