"""`python -m labeler.cli`: the command line, where neither `manage.py` nor a script is at hand."""

from labeler.cli.main import main

if __name__ == "__main__":
    main()
