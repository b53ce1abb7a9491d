"""A command of the engine in a process of its own, as background jobs start it.

    python -m labeler.cli.engine PARENT rotation run ...

The process is nice to those that answer requests. It ends when the process PARENT ends, and the
reports that it writes name the command as somebody would type it.
"""

from __future__ import annotations

import os
import sys

from rotation.child_processes import end_with_parent

NICENESS = 15


def main() -> None:
    """Run the command of the arguments."""
    from labeler.cli.main import main as run_command

    parent, *words = sys.argv[1:]
    end_with_parent(int(parent))
    os.nice(NICENESS)
    sys.argv = ["manage.py", *words]
    run_command()


if __name__ == "__main__":
    main()
