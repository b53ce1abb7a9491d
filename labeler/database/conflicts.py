"""Turn a broken unique constraint into a `Conflict` that says what to do.

Two transactions can look for a name at the same time and both find it free. The unique constraint
then lets one of them through.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from sqlalchemy.exc import IntegrityError

from labeler.errors import Conflict

_IN_TRAINING = (
    "Another run of this data set is in training. Wait until it is finished, or stop it on the "
    "page “Model runs”."
)
MESSAGES = {
    "uq_campaign_name": "A campaign with this name exists already. Choose another name.",
    "uq_annotator_group_name": "A group with this name exists already. Choose another name.",
    "uq_dataset_name": "A data set with this name exists already. Choose another name.",
    "uq_image_import_name": "Another import has this name. Wait until it has ended, remove it, or "
    "choose another name.",
    "uq_image_dataset_id_filename": "Another import of this data set is at work. Wait until it has "
    "ended, then import again: known images stay as they are.",
    "uq_subset_name": "A subset with this name exists already. Choose another name.",
    "uq_annotator_username": "This user name is taken. Choose another one.",
    "uq_model_run_training": _IN_TRAINING,
    "uq_model_run_dataset_id": _IN_TRAINING,  # the same constraint, as SQLite tells it
}
OTHERWISE = "Somebody else has changed this at the same moment. Reload, look, and try again."
_POSTGRES_UNIQUE = "23505"
_SQLITE_UNIQUE = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
_SQLITE_COLUMNS = re.compile(r"(\w+)\.(\w+)")


def as_conflict(error: IntegrityError) -> Conflict | None:
    """The conflict that a broken unique constraint means; None for another kind of constraint."""
    name = _constraint(error.orig)
    return None if name is None else Conflict(MESSAGES.get(name, OTHERWISE))


def _constraint(found: Any) -> str | None:
    """The name of the broken unique constraint. SQLite tells only its table and columns."""
    if isinstance(found, sqlite3.IntegrityError):
        if found.sqlite_errorname not in _SQLITE_UNIQUE:
            return None
        columns = _SQLITE_COLUMNS.findall(str(found))
        table = columns[0][0] if columns else ""
        return "_".join(["uq", table, *(column for _, column in columns)])
    if getattr(found, "sqlstate", None) != _POSTGRES_UNIQUE:
        return None
    return str(found.diag.constraint_name)
