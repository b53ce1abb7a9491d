#!/usr/bin/env python3
"""The command line, from a checkout. An installed Sidelight has it as `sidelight`."""

from labeler.cli.main import main

if __name__ == "__main__":
    main()
