"""The three labels of light direction, as the viewer sees it."""

from __future__ import annotations

LABELS = ("left", "center", "right")
MIRRORED_LABEL = {"left": "right", "center": "center", "right": "left"}
"""The label of the mirrored image."""
