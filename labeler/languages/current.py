"""The languages that there are, and the one of the moment.

The web sets it for each request. Everything else, such as the command line, speaks English.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

ENGLISH = "en"
# Each language by its code, in its own words. To add one, add it here and run `make languages`.
LANGUAGES = {ENGLISH: "English", "de": "Deutsch", "it": "Italiano"}

_current: ContextVar[str] = ContextVar("language", default=ENGLISH)


def current_language() -> str:
    """Return the code of the language of the moment."""
    return _current.get()


def use_language(code: str) -> None:
    """Speak a language from now on, in this thread.

    Parameters:
        code: one of `LANGUAGES`.
    """
    _current.set(code)


@contextmanager
def in_language(code: str) -> Iterator[None]:
    """Speak a language inside of a block.

    Parameters:
        code: one of `LANGUAGES`.
    """
    token = _current.set(code)
    try:
        yield
    finally:
        _current.reset(token)
