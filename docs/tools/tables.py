"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def cell(text: str) -> str:
    """Text as it may stand in a cell."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The table as one block; nothing if there are no rows."""
    if not rows:
        return
    lines = [head, ["---"] * len(head), *rows]
    yield "\n".join(f"| {' | '.join(line)} |" for line in lines)
