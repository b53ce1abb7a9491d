"""What the figures of agreement and anchoring mean, in a sentence each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labeler.web.numbers import Share, share


@dataclass(frozen=True, slots=True)
class Measure:
    """A share with its interval, None where it cannot be told, and what it means.

    `low`: where its scale begins, 0 or -1.
    """

    word: str
    share: Share | None
    meaning: str
    low: float = 0.0


def anchoring_measures(found: Mapping[str, Any]) -> list[Measure]:
    """Agreement with the proposal seen and unseen, their difference, and the share that follows."""
    apart = share(found["difference"])
    follows = share(found["following"])
    return [
        Measure(
            "Agrees with a proposal that is seen",
            share(found["shown"], found["shown_n"]),
            "Of the answers beside a proposal, planted wrong ones and the grid left out.",
        ),
        Measure(
            "Agrees with one that is hidden",
            share(found["blind"], found["blind_n"]),
            "Of the answers of people who were not shown the proposal that there was.",
        ),
        Measure("Difference", apart, _difference_means(apart, found), -1.0),
        Measure("Only repeats the proposal", follows, _following_means(follows), -1.0),
    ]


def planted_measure(values: Sequence[float] | None, n: int) -> Measure:
    """How often a wrong proposal was repeated."""
    meaning = "Of wrong proposals that were planted on gold images, so many were repeated."
    if values is None:
        meaning = "No wrong proposal has been planted and answered yet: it needs gold images."
    return Measure("Repeats a planted wrong proposal", share(values, n), meaning)


def side_measure(found: Mapping[str, Any]) -> Measure:
    """Whether the hand prefers a side of the screen."""
    bias = share(found["bias"], found["plain_n"] + found["mirrored_n"])
    return Measure("Prefers the left of the screen", bias, _side_means(bias, found), -1.0)


def _difference_means(apart: Share | None, found: Mapping[str, Any]) -> str:
    if apart is None:
        lacking = "seen" if not found["shown_n"] else "hidden"
        return (
            f"Cannot be told yet: no answer with a proposal that was {lacking}. The campaign "
            "must show proposals to some and hide them from others."
        )
    if not apart.sure_not_zero:
        return "The interval contains 0: no effect of showing the proposal is proved."
    more = "more" if apart.estimate > 0 else "less"
    return f"People who see the proposal agree with it {more} often than people who do not."


def _following_means(follows: Share | None) -> str:
    if follows is None:
        return "Cannot be told yet: it needs the difference above."
    if follows.low > 0:
        return "So many of the answers beside a proposal would have been others without it."
    return "It may be nobody: the interval reaches 0."


def _side_means(bias: Share | None, found: Mapping[str, Any]) -> str:
    if bias is None:
        return (
            "Cannot be told: pictures must be shown both plain and mirrored, or hand and light "
            "look alike. Turn on mirrored views in the rules of the campaign."
        )
    views = f"From {found['plain_n']:,} plain and {found['mirrored_n']:,} mirrored views. "
    if not bias.sure_not_zero:
        return views + "The interval contains 0: no preference is proved."
    side = "left" if bias.estimate > 0 else "right"
    return views + f"The {side} of the screen is answered too often, wherever the light is."
