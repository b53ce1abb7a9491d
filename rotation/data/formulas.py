"""The apostrophe that keeps spreadsheets from running a text as a formula.

Text that begins with a guard is guarded once more, so that removing one guard is exact.
"""

from __future__ import annotations

import re

# Spreadsheets take the fullwidth signs of East Asian keyboards for the plain ones.
_SIGNS = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(f"'*{_SIGNS}")
_GUARDED = re.compile(f"'+{_SIGNS}")


def guard_formula(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguard_formula(cell: str) -> str:
    """Undo `guard_formula`. Any other apostrophe belongs to the text and stays."""
    return cell[1:] if _GUARDED.match(cell) else cell
