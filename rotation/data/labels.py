"""The labels for where the light on a face comes from, as the viewer of the image sees it."""

from __future__ import annotations

LABELS = ("left", "center", "right")
MIRRORED_LABEL = {"left": "right", "center": "center", "right": "left"}
"""The label of the mirrored image."""
