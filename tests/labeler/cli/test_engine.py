"""The process of the engine is nice, whatever shares processor time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from labeler.cli.engine import NICENESS, SHARE

TELL = """
import os
from labeler.cli.engine import SHARE, be_nice
be_nice()
print(os.nice(0), SHARE.read_text() if SHARE.exists() else "")
"""


def test_niceness_holds_among_sessions_too() -> None:
    if not SHARE.exists():
        pytest.skip("this system does not share processor time among sessions")
    told = subprocess.run(
        [sys.executable, "-c", TELL],
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    assert told.stdout.split()[0] == str(min(os.nice(0) + NICENESS, 19))
    assert told.stdout.split()[-1] == str(NICENESS)
