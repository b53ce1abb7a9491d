"""The rows of `Consensus`: locked, derived again, added and removed.

The derived columns of a row come from `consensus.derivation.derive` alone.

Lock order: several rows are always locked by ascending campaign and image. Two transactions that
locked the same rows in different orders would wait for each other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, select, update
from sqlalchemy.orm import Session, aliased

from labeler.consensus.derivation import (
    DERIVED_COLUMNS,
    CountedVote,
    ImageFacts,
    derive,
    load_annotator_model,
    rules_version,
)
from labeler.database.engine import insert_or, is_sqlite
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus, Decision, Gold
from labeler.models.images import Image
from labeler.models.proposals import ModelRun, Proposal, published_runs
from labeler.models.voting import Lease, Vote

RANDOM_KEYS = 2**31  # random_key is drawn from 0 .. RANDOM_KEYS - 1
_BATCH = 2_000
_random = random.SystemRandom()  # the order of the queue must not be guessable from the code
_TOLERANCE = 1e-3  # of a probability: each refresh of the skills moves every image a little


def lock_image(session: Session, campaign_id: int, image_id: int) -> None:
    """Lock the consensus row of an image until the commit.

    SQLite needs no row lock: its write transaction is alone. On PostgreSQL, a statement that
    waits for a row sees all other rows as they were before the wait. So lock first, and read in
    the statements after it: they see what was committed before the lock.
    """
    if not is_sqlite(session):
        session.execute(
            select(Consensus.image_id)
            .where(Consensus.campaign_id == campaign_id, Consensus.image_id == image_id)
            .with_for_update()
        )


def recount(
    session: Session, campaign_id: int, image_ids: Sequence[int], *, now: datetime | None = None
) -> int:
    """Derive the rows of some images of a campaign again; returns how many changed.

    A row that only follows other rules now, with the same result, is written but not counted.
    The rows are locked before the votes are read, so that no vote comes in between.
    """
    changes = list(_changes(session, campaign_id, image_ids, now or utc_now(), lock=True))
    if changes:
        session.execute(update(Consensus), [values for values, _ in changes])
    return sum(counts for _, counts in changes)


def find_stale(session: Session, campaign_id: int, image_ids: Sequence[int]) -> list[int]:
    """The images among these whose rows `recount` would change now; locks nothing."""
    found = _changes(session, campaign_id, image_ids, utc_now(), lock=False)
    return [values["image_id"] for values, _ in found]


def add_rows(session: Session, campaign_id: int, image_ids: Sequence[int]) -> None:
    """Add images to the queue of a campaign, at a random place, with the votes they have.

    An image that already has a row keeps it: another process may have added it meanwhile.

    The triggers `lease_holds*` and `lease_lets_go` (see `models.voting.Lease`) maintain
    `leased_until` only while the row exists. So this function reads the leases of an image whose
    row was away for a time.
    """
    if not image_ids:
        return
    annotator_model = load_annotator_model(session, campaign_id)
    now = utc_now()
    for start in range(0, len(image_ids), _BATCH):
        facts = load_facts(session, campaign_id, image_ids[start : start + _BATCH])
        expiries = _lease_expiries(session, campaign_id, image_ids[start : start + _BATCH])
        rows = [
            {
                "campaign_id": campaign_id,
                "image_id": one.image_id,
                "random_key": _random.randrange(RANDOM_KEYS),
                "leased_until": expiries.get(one.image_id),
                "updated_at": now,
                **derive(one, annotator_model),
            }
            for one in facts
        ]
        session.execute(insert_or(session, Consensus).on_conflict_do_nothing(), rows)


def remove_rows(session: Session, image_ids: Sequence[int]) -> None:
    """Remove images from the queues of all campaigns."""
    for start in range(0, len(image_ids), _BATCH):
        condition = Consensus.image_id.in_(image_ids[start : start + _BATCH])
        if not is_sqlite(session):  # a DELETE would lock the rows in any order
            lock = select(Consensus.image_id).where(condition).with_for_update()
            session.execute(lock.order_by(Consensus.campaign_id, Consensus.image_id))
        session.execute(
            delete(Consensus).where(condition).execution_options(synchronize_session=False)
        )


def rebuild(
    session: Session,
    campaign_id: int,
    *,
    batch: Sequence[int] | None = None,
    now: datetime | None = None,
) -> int:
    """Derive the consensus of a campaign again; returns how many rows changed.

    Parameters:
        batch: only these images (see `batches`). By default all images, in one transaction; the
            rows of images that no longer decode are then removed.
    """
    if batch is not None:
        return recount(session, campaign_id, batch, now=now)
    lost = _remove_unfit_rows(session, campaign_id)
    return lost + sum(
        recount(session, campaign_id, ids, now=now) for ids in batches(session, campaign_id)
    )


def follows_other_rules(session: Session, campaign: Campaign) -> bool:
    """Whether a row of the campaign was derived by other rules than those it has now.

    So a change of the rules cannot be lost: it stays visible until the last row follows it.
    """
    wanted = rules_version(campaign.parsed_rules)
    outdated = select(Consensus.image_id).where(
        Consensus.campaign_id == campaign.id, Consensus.rules_version.is_distinct_from(wanted)
    )
    return session.scalar(outdated.limit(1)) is not None


def batches(session: Session, campaign_id: int, size: int = _BATCH) -> list[Sequence[int]]:
    """The images of a campaign in parts of `size`, so that votes can come between two parts."""
    ids = session.scalars(
        select(Consensus.image_id)
        .where(Consensus.campaign_id == campaign_id)
        .order_by(Consensus.image_id)
    ).all()
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def load_facts(session: Session, campaign_id: int, image_ids: Sequence[int]) -> list[ImageFacts]:
    """The facts that decide about each of these images, in their order; four statements."""
    votes = _votes_by_image(session, campaign_id, image_ids)
    models = _model_by_image(session, campaign_id, image_ids)
    gold = _label_by_image(session, Gold, Gold.revoked_at.is_(None), campaign_id, image_ids)
    decisions = _label_by_image(
        session, Decision, Decision.superseded_at.is_(None), campaign_id, image_ids
    )
    facts = []
    for image_id in image_ids:
        chances, ask = models.get(image_id, (None, None))
        decided = image_id in decisions, decisions.get(image_id)
        cast = votes.get(image_id, [])
        facts.append(ImageFacts(image_id, cast, chances, gold.get(image_id), *decided, ask))
    return facts


def current_run_of(campaign_id: Any) -> Any:
    """Subquery: the id of the current run of the campaign's data set (`published_runs`).

    Parameters:
        campaign_id: a number, or a column of an enclosing statement.
    """
    campaign = aliased(Campaign)  # `campaign_id` may be a column of the table itself
    dataset = select(campaign.dataset_id).where(campaign.id == campaign_id).correlate(Campaign)
    return (
        published_runs(dataset.scalar_subquery())
        .with_only_columns(ModelRun.id)
        .limit(1)
        .correlate(Campaign)
        .scalar_subquery()
    )


def _votes_by_image(
    session: Session, campaign_id: int, image_ids: Sequence[int]
) -> Mapping[int, list[CountedVote]]:
    rows = session.execute(
        select(Vote.image_id, Vote.annotator_id, Vote.answer, Vote.shown_label)
        .where(Vote.image_id.in_(image_ids), Vote.campaign_id == campaign_id, Vote.counts)
        .order_by(Vote.id)
    )
    found: dict[int, list[CountedVote]] = {}
    for image_id, annotator_id, answer, shown_label in rows:
        found.setdefault(image_id, []).append(CountedVote(annotator_id, answer, shown_label))
    return found


def _model_by_image(
    session: Session, campaign_id: int, image_ids: Sequence[int]
) -> Mapping[int, tuple[tuple[float, float, float], int | None]]:
    """The probabilities and the `ask` of the current run, by image."""
    rows = session.execute(
        select(
            Proposal.image_id, Proposal.p_left, Proposal.p_center, Proposal.p_right, Proposal.ask
        ).where(
            Proposal.model_run_id == current_run_of(campaign_id), Proposal.image_id.in_(image_ids)
        )
    )
    return {image_id: ((left, center, right), ask) for image_id, left, center, right, ask in rows}


def _label_by_image(
    session: Session,
    table: Any,
    current: ColumnElement[bool],
    campaign_id: int,
    image_ids: Sequence[int],
) -> Mapping[int, str | None]:
    rows = session.execute(
        select(table.image_id, table.label).where(
            table.campaign_id == campaign_id, table.image_id.in_(image_ids), current
        )
    )
    return dict(rows.all())


def _lease_expiries(
    session: Session, campaign_id: int, image_ids: Sequence[int]
) -> Mapping[int, Any]:
    """The latest expiry of the leases on each image that has any."""
    rows = session.execute(
        select(Lease.image_id, func.max(Lease.expires_at))
        .where(Lease.campaign_id == campaign_id, Lease.image_id.in_(image_ids))
        .group_by(Lease.image_id)
    )
    return dict(rows.all())


def _remove_unfit_rows(session: Session, campaign_id: int) -> int:
    fit = select(Image.id).where(Image.status == "ok")
    unfit = Consensus.campaign_id == campaign_id, Consensus.image_id.not_in(fit)
    count = session.scalar(select(func.count()).select_from(Consensus).where(*unfit)) or 0
    if count:
        session.execute(
            delete(Consensus).where(*unfit).execution_options(synchronize_session=False)
        )
    return count


def _changes(
    session: Session, campaign_id: int, image_ids: Sequence[int], now: datetime, *, lock: bool
) -> Iterator[tuple[dict[str, Any], bool]]:
    """The new values of each row that is out of date, and whether more than its rules changed."""
    stored = _load_rows(session, campaign_id, image_ids, lock=lock)
    annotator_model = load_annotator_model(session, campaign_id)
    facts = load_facts(session, campaign_id, [row.image_id for row in stored])
    for row, one in zip(stored, facts, strict=True):
        derived = derive(one, annotator_model)
        differ = {
            name for name in DERIVED_COLUMNS if not _is_same(getattr(row, name), derived[name])
        }
        key = {"campaign_id": campaign_id, "image_id": row.image_id}
        if differ == {"rules_version"}:
            yield {**key, "rules_version": derived["rules_version"]}, False
        elif differ:
            yield {**key, "updated_at": now, **derived}, True


def _load_rows(
    session: Session, campaign_id: int, image_ids: Sequence[int], *, lock: bool
) -> Sequence[Row[Any]]:
    """`image_id` and the derived columns of each row; `lock`: locked until the commit."""
    table = Consensus.__table__
    statement = (
        select(table.c.image_id, *(table.c[name] for name in DERIVED_COLUMNS))
        .where(table.c.campaign_id == campaign_id, table.c.image_id.in_(image_ids))
        .order_by(table.c.image_id)
    )
    return session.execute(statement.with_for_update() if lock else statement).all()


def _is_same(stored: Any, derived: Any) -> bool:
    if isinstance(stored, float) and isinstance(derived, float):
        return abs(stored - derived) < _TOLERANCE
    return bool(stored == derived)


def count_current_votes(session: Session, campaign_id: int) -> int:
    """The number of votes that count on the images of a campaign, as `CampaignProgress.votes` is.

    The consensus keeps the votes of each image, in an index. So this takes time for each image but
    not for each vote.
    """
    counted = select(func.sum(Consensus.votes)).where(Consensus.campaign_id == campaign_id)
    return int(session.scalar(counted) or 0)
