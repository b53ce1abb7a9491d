"""Gold questions: images of a campaign whose answer is known. They are added, revoked and listed.

Gold comes from a CSV file, from the answers of supervisors, or from unanimous votes. A row never
changes: another label revokes the row and adds a new one. Gold decides the consensus of its image,
so the consensus row is derived again in the same transaction.

Lock order: consensus rows are locked by ascending image, as in `consensus.store`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.consensus.store import recount
from labeler.csv_input import MAX_EXPLANATION, GoldLine, refuse_lines
from labeler.errors import BrokenData, Conflict, InvalidInput, NotFound
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator
from labeler.models.base import MAX_SMALL, utc_now
from labeler.models.consensus import Consensus, Gold
from labeler.models.images import Image
from labeler.models.voting import Vote
from rotation.data.csv_text import Fault, shown
from rotation.data.image_names import match_names
from rotation.data.labels import LABELS

T = TypeVar("T")
_CHUNK = 1_000  # values of an IN list


@dataclass(frozen=True, slots=True)
class GoldReport:
    """What became of the images.

    `added`: became gold. `changed`: were gold with another label or explanation. `unchanged`:
    were gold with the same label and explanation.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class NewGold:
    """An image that is to be gold, its known label, and why it is right."""

    image_id: int
    label: str
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class GoldStatus:
    """A gold question, and how people answered: `right` of `asked` answers gave its label.

    If the question was made from votes, earlier answers do not count: they made it gold.
    """

    gold: Gold
    image: Image
    asked: int
    right: int


def add_gold(
    session: Session,
    campaign_id: int,
    new: Sequence[NewGold],
    source: str,
    by: Actor = NOBODY,
    *,
    now: datetime | None = None,
) -> GoldReport:
    """Make images of a campaign gold, and derive their consensus.

    Parameters:
        source: `csv`, `supervisor` or `unanimous`.

    Raises:
        InvalidInput: an unknown label, or an explanation that is too long.
        NotFound: an image is not in the campaign.
    """
    now = now or utc_now()
    _check(new)
    wanted = {one.image_id: one for one in new}
    present = _lock_rows(session, campaign_id, list(wanted))
    if set(wanted) - present:
        raise NotFound(
            _("There is no image %(number)s in this campaign.", number=min(set(wanted) - present))
        )
    before = {gold.image_id: gold for gold in _current(session, campaign_id, list(wanted))}
    same = {one.image_id for one in new if _is_same(before.get(one.image_id), one)}
    for image_id in before.keys() - same:
        before[image_id].revoked_at = now
    session.flush()
    session.add_all(
        Gold(
            campaign_id=campaign_id,
            image_id=one.image_id,
            label=one.label,
            source=source,
            explanation=one.explanation,
            created_by_id=by.id,
            created_at=now,
        )
        for one in wanted.values()
        if one.image_id not in same
    )
    session.flush()
    _recount(session, campaign_id, sorted(wanted.keys() - same), now)
    report = GoldReport(len(wanted) - len(before), len(before.keys() - same), len(same))
    if report.added or report.changed:
        counts = {"added": report.added, "changed": report.changed}
        subject = ("campaign", campaign_id)
        record(session, "gold_added", by, subject, now=now, source=source, **counts)
    return report


def revoke_gold(
    session: Session, gold_id: int, by: Actor = NOBODY, *, now: datetime | None = None
) -> Gold:
    """Revoke a gold question. Its votes decide about the image again.

    Revoking it twice changes nothing.

    Raises:
        NotFound: there is no such row.
    """
    gold = _get(session, gold_id)
    _lock_rows(session, gold.campaign_id, [gold.image_id])
    session.refresh(gold)
    if gold.revoked_at is None:
        gold.revoked_at = now or utc_now()
        session.flush()
        recount(session, gold.campaign_id, [gold.image_id], now=now)
        where = {"campaign": gold.campaign_id, "image": gold.image_id}
        record(session, "gold_revoked", by, ("gold", gold_id), now=now, **where)
    return gold


def restore_gold(
    session: Session, gold_id: int, by: Actor = NOBODY, *, now: datetime | None = None
) -> Gold:
    """Take back a `revoke_gold`: the image is the same gold question again.

    Restoring it twice changes nothing.

    Raises:
        NotFound: there is no such row, or the image is no longer in the campaign.
        Conflict: the image has become another gold question since.
    """
    gold = _get(session, gold_id)
    if not _lock_rows(session, gold.campaign_id, [gold.image_id]):
        raise NotFound(
            _("There is no image %(number)s in this campaign any more.", number=gold.image_id)
        )
    session.refresh(gold)
    if gold.revoked_at is None:
        return gold
    if next(_current(session, gold.campaign_id, [gold.image_id]), None) is not None:
        raise Conflict(
            _("The image has become another gold question since. Remove that one first.")
        )
    gold.revoked_at = None
    session.flush()
    recount(session, gold.campaign_id, [gold.image_id], now=now)
    where = {"campaign": gold.campaign_id, "image": gold.image_id}
    record(session, "gold_restored", by, ("gold", gold_id), now=now, **where)
    return gold


def load_gold(session: Session, gold_id: int) -> GoldStatus:
    """A gold question and how people answered it, revoked or not.

    Raises:
        NotFound: there is no such row.
    """
    gold = _get(session, gold_id)
    asked, right = _answers(session, [gold_id]).get(gold_id, (0, 0))
    return GoldStatus(gold, session.get_one(Image, gold.image_id), asked, right)


def _get(session: Session, gold_id: int) -> Gold:
    gold = session.get(Gold, gold_id)
    if gold is None:
        raise NotFound(_("Gold question %(number)s does not exist.", number=gold_id))
    return gold


def count_gold(session: Session, campaign_id: int) -> dict[str, int]:
    """The number of gold images by label."""
    rows = session.execute(
        select(Gold.label, func.count())
        .where(Gold.campaign_id == campaign_id, Gold.revoked_at.is_(None))
        .group_by(Gold.label)
    )
    return dict.fromkeys(LABELS, 0) | dict(rows.all())


def list_gold(
    session: Session, campaign_id: int, limit: int, before_id: int | None = None
) -> list[GoldStatus]:
    """The gold questions, newest first, and how people answered them; two statements.

    Parameters:
        limit: how many at most.
        before_id: only those that are older than this one, for the next page.
    """
    wanted = [Gold.campaign_id == campaign_id, Gold.revoked_at.is_(None)]
    if before_id is not None:
        wanted.append(Gold.id < before_id)
    rows = session.execute(
        select(Gold, Image)
        .join(Image, Image.id == Gold.image_id)
        .where(*wanted)
        .order_by(Gold.id.desc())
        .limit(limit)
    ).all()
    answers = _answers(session, [gold.id for gold, _ in rows])
    return [GoldStatus(gold, image, *answers.get(gold.id, (0, 0))) for gold, image in rows]


def _answers(session: Session, gold_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """By gold row: how many people answered and how many were right, exercises included."""
    rows = session.execute(
        select(Gold.id, func.count(), func.sum(case((Vote.answer == Gold.label, 1), else_=0)))
        .join(Vote, and_(Vote.campaign_id == Gold.campaign_id, Vote.image_id == Gold.image_id))
        .where(
            Gold.id.in_(gold_ids),
            Vote.superseded_at.is_(None),
            or_(Gold.source == "csv", Vote.created_at > Gold.created_at),
        )
        .group_by(Gold.id)
    )
    return {gold_id: (asked, right) for gold_id, asked, right in rows}


def _lock_rows(session: Session, campaign_id: int, image_ids: Sequence[int]) -> set[int]:
    """Lock the consensus rows of the images that are in the campaign; returns their ids."""
    locked: set[int] = set()
    for ids in chunks(sorted(image_ids)):
        locked.update(
            session.scalars(
                select(Consensus.image_id)
                .where(Consensus.campaign_id == campaign_id, Consensus.image_id.in_(ids))
                .order_by(Consensus.image_id)
                .with_for_update()
            )
        )
    return locked


def _current(session: Session, campaign_id: int, image_ids: Sequence[int]) -> Iterator[Gold]:
    for ids in chunks(image_ids):
        yield from session.scalars(
            select(Gold).where(
                Gold.campaign_id == campaign_id, Gold.image_id.in_(ids), Gold.revoked_at.is_(None)
            )
        )


def _recount(session: Session, campaign_id: int, image_ids: Sequence[int], now: datetime) -> None:
    for ids in chunks(image_ids):
        recount(session, campaign_id, ids, now=now)


def _check(new: Iterable[NewGold]) -> None:
    for one in new:
        if one.label not in LABELS:
            raise InvalidInput(
                _(
                    "%(given)r is not a label; allowed: %(allowed)s.",
                    given=one.label,
                    allowed=", ".join(LABELS),
                )
            )
        if len(one.explanation) > MAX_EXPLANATION:
            raise InvalidInput(
                _("An explanation has at most %(count)s characters.", count=MAX_EXPLANATION)
            )


def _is_same(gold: Gold | None, new: NewGold) -> bool:
    return gold is not None and (gold.label, gold.explanation) == (new.label, new.explanation)


def is_gold(campaign_id: int, image_id: Any) -> ColumnElement[bool]:
    """The condition that the image of a column is gold in the campaign."""
    return (
        select(Gold.id)
        .where(
            Gold.campaign_id == campaign_id, Gold.image_id == image_id, Gold.revoked_at.is_(None)
        )
        .exists()
    )


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values in parts that fit into an IN list."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


_SUPERVISING = ("supervisor", "admin")


def import_gold(
    session: Session, campaign_id: int, lines: Sequence[GoldLine], by: Actor = NOBODY
) -> GoldReport:
    """Make gold of the lines of a CSV, of all or of none.

    Raises:
        BrokenData: images are not in the campaign; the message names their lines. If none is, the
            message says that first: the file belongs to another data set.
    """
    given = [line.filename for line in lines]
    images = _select_images(campaign_id, Image.filename, Image.id)
    ids = {row.filename: row.id for row in session.execute(images)}
    names = match_names(given, ids)
    foreign = [
        Fault(line.number, _("%(name)s is not an image of this campaign", name=shown(name)))
        for line, name in zip(lines, names, strict=True)
        if name not in ids
    ]
    if len(foreign) == len(lines) > 1:
        some = session.scalar(_select_images(campaign_id, Image.filename).limit(1))
        raise BrokenData(
            _(
                "Nothing was imported. None of the %(count)s images of the file is in this "
                "campaign: the file has %(given)s, the campaign has %(some)r. Choose the "
                "campaign that the file belongs to.",
                count=write_number(len(lines)),
                given=shown(given[0]),
                some=some,
            )
        )
    refuse_lines(foreign)
    new = [
        NewGold(ids[name], line.label, line.explanation)
        for line, name in zip(lines, names, strict=True)
    ]
    return add_gold(session, campaign_id, new, "csv", by)


def gold_from_supervisors(
    session: Session,
    campaign_id: int,
    by: Actor = NOBODY,
    *,
    among: Select[int] | None = None,
) -> GoldReport:
    """Make gold of the images on whose label all supervisors who answered agree.

    An image that is already gold stays as it is, whatever the supervisors answered.

    Parameters:
        among: selects the ids of the images to choose from; None: all of the campaign.
    """
    rows = session.execute(
        select(Vote.image_id, func.min(Vote.answer))
        .join(Annotator, Annotator.id == Vote.annotator_id)
        .join(Consensus, _is_row_of(Vote.image_id, campaign_id))
        .where(
            Vote.campaign_id == campaign_id,
            Vote.counts,
            Annotator.role.in_(_SUPERVISING),
            ~is_gold(campaign_id, Vote.image_id),
            *_among(among, Vote.image_id),
        )
        .group_by(Vote.image_id)
        .having(func.count(Vote.answer.distinct()) == 1, func.min(Vote.answer).in_(LABELS))
    )
    new = [NewGold(image_id, label) for image_id, label in rows]
    return add_gold(session, campaign_id, new, "supervisor", by)


def promote_unanimous(
    session: Session,
    campaign_id: int,
    min_votes: int,
    count: int,
    by: Actor = NOBODY,
    *,
    among: Select[int] | None = None,
) -> GoldReport:
    """Make gold of images on which at least `min_votes` people agree and nobody differs.

    The images are drawn at random, as evenly over the labels as possible. An `unsure` differs.

    Parameters:
        min_votes: >= 2.
        count: how many images in all, >= 1; fewer if fewer are unanimous.
        among: selects the ids of the images to choose from; None: all of the campaign.

    Raises:
        InvalidInput: fewer than 2 votes or more than a column counts, or a count below 1.
    """
    if not 2 <= min_votes <= MAX_SMALL or count < 1:
        raise InvalidInput(
            _(
                "Enter at least 2 votes per image, at most %(most)s, and a number of images of "
                "at least 1.",
                most=write_number(MAX_SMALL),
            )
        )
    found = {
        label: _unanimous(campaign_id, label, min_votes).where(*_among(among, Consensus.image_id))
        for label in LABELS
    }
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
    return add_gold(session, campaign_id, new, "unanimous", by)


def share_evenly(available: Mapping[str, int], count: int) -> dict[str, int]:
    """Share `count` among names, evenly as far as they last; returns the number for each name.

    If a name has too few, the others get more. If a rest cannot be shared (2 among 3), the first
    names get one more.

    Parameters:
        available: how many there are of each name.
    """
    shares = dict.fromkeys(available, 0)
    while sum(shares.values()) < count:
        unfilled = [name for name in available if shares[name] < available[name]]
        if not unfilled:
            break
        for name in unfilled[: count - sum(shares.values())]:
            shares[name] += 1
    return shares


def _unanimous(campaign_id: int, label: str, min_votes: int) -> Select[int]:
    """The ids of the images on which all votes, at least `min_votes`, give this label."""
    counts = {word: getattr(Consensus, f"votes_{word}") for word in (*LABELS, "unsure")}
    others = [column == 0 for word, column in counts.items() if word != label]
    return select(Consensus.image_id).where(
        Consensus.campaign_id == campaign_id,
        Consensus.status == "agreed",
        counts[label] >= min_votes,
        *others,
        ~is_gold(campaign_id, Consensus.image_id),
    )


def _among(among: Select[int] | None, image_id: Any) -> list[ColumnElement[bool]]:
    return [] if among is None else [image_id.in_(among)]


def _select_images(campaign_id: int, *columns: Any) -> Select[Any]:
    return select(*columns).join(Consensus, _is_row_of(Image.id, campaign_id))


def _is_row_of(image_id: Any, campaign_id: int) -> ColumnElement[bool]:
    return and_(Consensus.campaign_id == campaign_id, Consensus.image_id == image_id)
