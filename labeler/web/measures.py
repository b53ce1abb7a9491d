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
            "Agrees with a suggestion that is shown",
            share(found["shown"], found["shown_n"]),
            "Share of the answers given beside a suggestion. Deliberately wrong "
            "suggestions and answers from “Verify many images” are left out.",
        ),
        Measure(
            "Agrees with a proposal that is hidden",
            share(found["blind"], found["blind_n"]),
            "Share of the answers given while the proposal was hidden on purpose.",
        ),
        Measure("Difference", apart, _difference_means(apart, found), -1.0),
        Measure("Copy rate", follows, _following_means(follows), -1.0),
    ]


def planted_measure(values: Sequence[float] | None, n: int) -> Measure:
    """How often a wrong proposal was repeated."""
    meaning = (
        "Share of the deliberately wrong suggestions, beside gold questions, that were repeated."
    )
    if values is None:
        meaning = "Not known yet: no gold question with a wrong suggestion has been answered."
    return Measure("Repeats a wrong suggestion", share(values, n), meaning)


def side_measure(found: Mapping[str, Any]) -> Measure:
    """Whether the hand prefers a side of the screen."""
    bias = share(found["bias"], found["plain_n"] + found["mirrored_n"])
    return Measure("Prefers the left of the screen", bias, _side_means(bias, found), -1.0)


def _difference_means(apart: Share | None, found: Mapping[str, Any]) -> str:
    if apart is None:
        lacking = "seen" if not found["shown_n"] else "hidden"
        return (
            f"Not known yet: there is no answer with a proposal that was {lacking}. The "
            "campaign must show proposals for some images and hide them for others."
        )
    if not apart.sure_not_zero:
        return "The interval contains 0, so showing the suggestion has no proven effect."
    more = "more" if apart.estimate > 0 else "less"
    return f"People agree with a proposal {more} often when they see it than when it is hidden."


def _following_means(follows: Share | None) -> str:
    if follows is None:
        return "Not known yet: this needs the difference above."
    if follows.low > 0:
        return (
            "Estimated share of the answers beside a suggestion that would have been different "
            "without it."
        )
    return "The interval contains 0, so possibly nobody copies suggestions."


def _side_means(bias: Share | None, found: Mapping[str, Any]) -> str:
    if bias is None:
        return (
            "Not known: images must be shown both mirrored and not mirrored to tell a habit of "
            "the hand from the light. Turn on mirrored images in the rules of the campaign."
        )
    views = (
        f"From {found['plain_n']:,} images shown as they are and {found['mirrored_n']:,} shown "
        "mirrored. "
    )
    if not bias.sure_not_zero:
        return views + "The interval contains 0, so no preference is proven."
    side = "left" if bias.estimate > 0 else "right"
    return views + (
        f"People choose the {side} of the screen too often, wherever the light comes from."
    )
