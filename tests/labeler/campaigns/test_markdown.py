"""The Markdown of guidelines: no text takes long to render."""

from __future__ import annotations

import time

import pytest

from labeler.campaigns.service import MAX_GUIDELINE
from labeler.web.markdown import render

SECONDS = 5.0
"""The slowest of these takes about half a second on a quiet core. The time grows with the square of
the length."""
NASTY = {
    "brackets": "[",
    "images": "![",
    "links": "[a](",
    "link text": "[a](b",
    "empty links": "[](",
    "references": "[a\n",
    "quotes": ">",
    "lists": "- ",
    "numbers": "1. ",
    "emphasis": "*a_ ",
    "strong": "**a",
    "strike": "~~a",
    "code": "`a``",
    "angles": "<a ",
    "entities": "&#",
    "escapes": "\\*",
    "rows": "a|b\n-|-\n",
    "cells": "|-",
}


@pytest.mark.parametrize("piece", NASTY.values(), ids=NASTY)
def test_no_text_of_the_limit_takes_long(piece: str) -> None:
    text = (piece * MAX_GUIDELINE)[:MAX_GUIDELINE]
    started = time.process_time()
    assert render(text)
    assert time.process_time() - started < SECONDS


def test_a_text_beyond_the_limit_is_not_read() -> None:
    assert "<p>" in render("a" * MAX_GUIDELINE)
    started = time.process_time()
    assert render("[" * 4 * MAX_GUIDELINE) == ""
    assert time.process_time() - started < 0.1
