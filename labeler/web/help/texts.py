"""The help for each page of Manage, by the name of the page in `labeler.web.manage_menu`."""

from __future__ import annotations

from labeler.web.help.images import HELP_IMAGES
from labeler.web.help.labels import HELP_LABELS
from labeler.web.help.people import HELP_PEOPLE

TOPICS = {**HELP_LABELS, **HELP_IMAGES, **HELP_PEOPLE}
