"""What the reference is written from. The only place in docs/tools that imports the programs."""

from __future__ import annotations

from labeler.app import create_app
from labeler.cli.light_classifier import PROPOSAL_COLUMNS
from labeler.cli.main import cli
from labeler.config import load_settings
from labeler.errors import ConfigError
from labeler.exports.csv_files import VOTE_COLUMNS
from labeler.web.access import roles_of
from rotation.data.labels_csv import LABEL_COLUMNS
from rotation.poses.pose_cache import CONTENT_COLUMN
from rotation.poses.pose_csv import POSE_COLUMNS
from rotation.synthetic_heads.dataset import TRUTH_COLUMNS

__all__ = [
    "CONTENT_COLUMN",
    "LABEL_COLUMNS",
    "POSE_COLUMNS",
    "PROPOSAL_COLUMNS",
    "TRUTH_COLUMNS",
    "VOTE_COLUMNS",
    "ConfigError",
    "cli",
    "create_app",
    "load_settings",
    "roles_of",
]
