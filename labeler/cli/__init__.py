"""Command line of the labeler; `manage.py` mounts it."""
