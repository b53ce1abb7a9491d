"""A command of the engine in a process of its own, as background jobs start it.

    python -m labeler.cli.engine PARENT rotation run ...

The process is nice to those that answer requests. It ends when the process PARENT ends, and the
reports that it writes name the command as somebody would type it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from rotation.child_processes import end_with_parent

NICENESS = 15
TRIES, PAUSE_S = 50, 0.05
SHARE = Path("/proc/self/autogroup")


def main() -> None:
    """Run the command of the arguments."""
    from labeler.cli.main import main as run_command

    parent, *words = sys.argv[1:]
    end_with_parent(int(parent))
    be_nice()
    sys.argv = ["manage.py", *words]
    run_command()


def be_nice() -> None:
    """Let processes that answer requests go first.

    Linux may share processor time among sessions first, and only then by niceness within each. The
    engine has a session of its own, so that share has to be reduced as well.
    """
    os.nice(NICENESS)
    for _ in range(TRIES):
        try:
            SHARE.write_text(str(NICENESS), encoding="ascii")
        except BlockingIOError:  # Linux takes ten changes a second, of all sessions together
            time.sleep(PAUSE_S)
        except OSError:  # not every system has it
            return
        else:
            return


if __name__ == "__main__":
    main()
