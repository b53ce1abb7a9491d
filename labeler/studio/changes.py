"""What people change about a turn: its name, and that it is there."""

from __future__ import annotations

from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.models.studio import HeadTurn
from labeler.studio.turns import check_name


def rename_turn(session: Session, turn: HeadTurn, name: str, by: Actor = NOBODY) -> None:
    """Give a turn another name. Its present name changes nothing.

    Raises:
        InvalidInput: the name is empty or too long.
    """
    name = check_name(name)
    if name == turn.name:
        return
    turn.name = name
    session.flush()
    record(session, "turn_renamed", by, ("turn", turn.id))


def delete_turn(session: Session, turn: HeadTurn, by: Actor = NOBODY) -> None:
    """Delete the row of a turn, and with it its link.

    The caller removes the files (`labeler.studio.files.remove_files`) after the commit. A program
    that dies in between leaves files that nobody can see, and no turn without files.
    """
    turn_id = turn.id
    session.delete(turn)
    session.flush()
    record(session, "turn_deleted", by, ("turn", turn_id))
