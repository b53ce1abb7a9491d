"""Where gold comes from: a CSV, supervisors who agree, images about which everybody agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.orm import Session

from labeler.domain.labels import LABELS
from labeler.errors import InvalidInput
from labeler.models import Annotator, Consensus, Image, Vote
from labeler.services.gold import GoldReport, NewGold, add_gold, chunks, is_gold
from labeler.services.sheets import GoldLine, refuse_lines

_SUPERVISING = ("supervisor", "admin")


def import_gold(
    session: Session, campaign_id: int, lines: Sequence[GoldLine], created_by_id: int | None = None
) -> GoldReport:
    """Take over the lines of a CSV, all of them or none.

    Raises:
        BrokenData: images that are not in the campaign; names their lines.
    """
    ids = _find_images(session, campaign_id, [line.filename for line in lines])
    refuse_lines(
        (line.number, f"{line.filename!r} is not an image of this campaign")
        for line in lines
        if line.filename not in ids
    )
    new = [NewGold(ids[line.filename], line.label, line.explanation) for line in lines]
    return add_gold(session, campaign_id, new, "csv", created_by_id)


def gold_from_supervisors(
    session: Session, campaign_id: int, created_by_id: int | None = None
) -> GoldReport:
    """Make gold of the images whose answers by supervisors agree on a label.

    An image that is gold already stays as it is, whatever they say.
    """
    rows = session.execute(
        select(Vote.image_id, func.min(Vote.answer))
        .join(Annotator, Annotator.id == Vote.annotator_id)
        .join(Consensus, _row_of(Vote.image_id, campaign_id))
        .where(
            Vote.campaign_id == campaign_id,
            Vote.counts,
            Annotator.role.in_(_SUPERVISING),
            ~is_gold(campaign_id, Vote.image_id),
        )
        .group_by(Vote.image_id)
        .having(func.count(Vote.answer.distinct()) == 1, func.min(Vote.answer).in_(LABELS))
    )
    new = [NewGold(image_id, label) for image_id, label in rows]
    return add_gold(session, campaign_id, new, "supervisor", created_by_id)


def promote_unanimous(
    session: Session,
    campaign_id: int,
    min_votes: int,
    count: int,
    created_by_id: int | None = None,
) -> GoldReport:
    """Make gold of images about which at least `min_votes` people agree and nobody differs.

    As many of each label as there are, up to `count` in all, drawn by lot. An `unsure` is dissent.

    Raises:
        InvalidInput: fewer than 2 votes, or a count below 1.
    """
    if min_votes < 2 or count < 1:
        raise InvalidInput("Enter at least 2 votes per image and a number of images of at least 1.")
    found = {label: _unanimous(campaign_id, label, min_votes) for label in LABELS}
    available = {
        label: session.scalar(select(func.count()).select_from(ids.subquery())) or 0
        for label, ids in found.items()
    }
    shares = share_evenly(available, count)
    new = [
        NewGold(image_id, label)
        for label, ids in found.items()
        for image_id in session.scalars(ids.order_by(Consensus.random_key).limit(shares[label]))
    ]
    return add_gold(session, campaign_id, new, "unanimous", created_by_id)


def share_evenly(available: Mapping[str, int], count: int) -> dict[str, int]:
    """How many of each to take, `count` in all: the same of each, more where others lack.

    Where the rest cannot be shared (2 among 3) the first take one more.
    """
    shares = dict.fromkeys(available, 0)
    while sum(shares.values()) < count:
        hungry = [name for name in available if shares[name] < available[name]]
        if not hungry:
            break
        for name in hungry[: count - sum(shares.values())]:
            shares[name] += 1
    return shares


def _unanimous(campaign_id: int, label: str, min_votes: int) -> Select[int]:
    """The numbers of the images of which nobody says anything but this label."""
    counts = {word: getattr(Consensus, f"votes_{word}") for word in (*LABELS, "unsure")}
    others = [column == 0 for word, column in counts.items() if word != label]
    return select(Consensus.image_id).where(
        Consensus.campaign_id == campaign_id,
        Consensus.status == "agreed",
        counts[label] >= min_votes,
        *others,
        ~is_gold(campaign_id, Consensus.image_id),
    )


def _find_images(session: Session, campaign_id: int, filenames: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for names in chunks(filenames):
        rows = session.execute(
            select(Image.filename, Image.id)
            .join(Consensus, _row_of(Image.id, campaign_id))
            .where(Image.filename.in_(names))
        )
        found.update(rows.all())
    return found


def _row_of(image_id: Any, campaign_id: int) -> ColumnElement[bool]:
    return and_(Consensus.campaign_id == campaign_id, Consensus.image_id == image_id)
