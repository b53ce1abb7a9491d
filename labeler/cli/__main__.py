"""The command line as `python -m labeler.cli`, without `manage.py` or an installed script."""

from labeler.cli.main import main

if __name__ == "__main__":
    main()
