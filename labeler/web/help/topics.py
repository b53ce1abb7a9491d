"""What the help for a page consists of, and how it is told in the language of the reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from labeler.languages.texts import gettext as _
from labeler.languages.texts import speak


@dataclass(frozen=True, slots=True)
class Topic:
    """The help for one page.

    `purpose`: what the page is for. `terms`: words and numbers on it, and what they mean.
    `steps`: what to do next. All are marked for translation. `values`: what stands in them.
    """

    purpose: str
    terms: tuple[tuple[str, str], ...]
    steps: tuple[str, ...]
    values: Mapping[str, object] = field(default_factory=dict)


def spoken(topic: Topic) -> Topic:
    """Return a topic in the language of the reader, with its values in the texts."""
    return Topic(
        _(topic.purpose, **topic.values),
        tuple((speak(word, **topic.values), _(text, **topic.values)) for word, text in topic.terms),
        tuple(_(step, **topic.values) for step in topic.steps),
    )
