"""Stream labels and votes as CSV. docs/export.md describes the columns.

Each export is one read transaction. So it shows one moment, even while people vote, and the same
state of the database gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, and_, collate, literal, or_, select
from sqlalchemy.orm import Session

from labeler.campaigns.service import get_campaign
from labeler.consensus.majority import METHOD as MAJORITY
from labeler.database.engine import Database, is_sqlite
from labeler.errors import Conflict
from labeler.labels import likeliest_label
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.proposals import ModelRun, Proposal
from labeler.models.voting import Vote
from labeler.proposals.runs import current_run
from labeler.subsets.members import check_usable, select_members
from labeler.subsets.service import get_subset
from rotation.data.formulas import guard_formula
from rotation.data.labels_csv import CHUNK, LabelRow, stream_csv, stream_label_rows

T = TypeVar("T")

VOTE_COLUMNS = (
    "image_id",
    "filename",
    "annotator",
    "answer",
    "created_at",
    "elapsed_ms",
    "mode",
    "blind",
    "proposal_shown",
    "model_run_id",
    "superseded_at",
    "proposal_withheld",
    "planted",
    "mirrored",
)


def stream_labels(
    db: Database,
    campaign_id: int,
    with_proposals: bool = False,
    precision: float | None = None,
    subset_id: int | None = None,
) -> Iterator[str]:
    """Stream the labels of a campaign as CSV text, with a header, ordered by filename.

    Parameters:
        with_proposals: use proposals of the current model run where the votes have no label.
        precision: use only proposals of which this share was right on images left out of training
            (`threshold_of_run`); None: all.
        subset_id: write only images of this subset; None: all.

    Raises:
        NotFound: there is no such campaign or subset.
        Conflict: there are no proposals, the run does not reach the precision, or the subset has
            no image. All errors are raised before the first chunk.
        InvalidInput: the subset has images of another data set.
    """
    with db.read() as session:
        campaign = get_campaign(session, campaign_id)
        if with_proposals:
            _find_source(session, campaign, precision)
        subset = get_subset(session, subset_id) if subset_id is not None else None
        if subset is not None:
            check_usable(session, subset, campaign)

    def rows(session: Session) -> Iterator[LabelRow]:
        among = [Image.id.in_(select_members(session, subset))] if subset is not None else []
        return _label_rows(session, campaign, with_proposals, precision, among)

    return stream_label_rows(_in_one_transaction(db, rows))


def threshold_of_run(run: ModelRun, precision: float) -> float:
    """Return the probability from which proposals of a run have a precision.

    Each run stores it for `proposals.training.PRECISIONS`, by cross-validation. The next higher
    precision is used.

    Parameters:
        precision: share of right labels, 0 to 1.

    Raises:
        Conflict: the run does not reach the precision. The message says what it reaches.
    """
    thresholds = run.metrics.get("thresholds", {})
    kept = sorted((float(of), value) for of, value in thresholds.items() if value is not None)
    for promised, threshold in kept:
        if promised >= precision - 1e-9:
            return float(threshold)
    best = _("at most %(share)s%%", share=write_number(100 * kept[-1][0])) if kept else ""
    raise Conflict(
        _(
            "Model run %(run)s cannot ensure that %(wanted)s%% of its proposals are right. On "
            "%(images)s labelled images that were left out of its training it reached %(best)s. "
            "Label more images and train again, or ask for a lower share.",
            run=run.id,
            wanted=write_number(100 * precision, 1),
            images=write_number(_judged(run)),
            best=best or _("no share at all"),
        )
    )


def _judged(run: ModelRun) -> int:
    return int((run.metrics.get("cross_validation") or {}).get("n", 0))


def stream_votes(db: Database, campaign_id: int) -> Iterator[str]:
    """Stream all votes of a campaign as CSV text in order of arrival, replaced ones too.

    Raises:
        NotFound: there is no such campaign.
    """
    with db.read() as session:
        get_campaign(session, campaign_id)
    rows = _in_one_transaction(db, lambda session: _vote_rows(session, campaign_id))
    return stream_csv(VOTE_COLUMNS, rows)


def _in_one_transaction(db: Database, rows: Callable[[Session], Iterator[T]]) -> Iterator[T]:
    """Yield rows of one moment."""
    with db.read() as session:
        if not db.is_sqlite:
            # So several statements see the same moment, as they always do in SQLite.
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield from rows(session)


def _find_source(
    session: Session, campaign: Campaign, precision: float | None
) -> tuple[int, float]:
    """Return the current run, and the probability from which its proposals are used."""
    run = current_run(session, campaign.dataset_id)
    if run is None:
        raise Conflict(
            _(
                "There are no proposals yet. Run `python manage.py propose`, or export without "
                "proposals."
            )
        )
    return run.id, 0.0 if precision is None else threshold_of_run(run, precision)


def _label_rows(
    session: Session,
    campaign: Campaign,
    with_proposals: bool,
    precision: float | None,
    among: Sequence[ColumnElement[bool]],
) -> Iterator[LabelRow]:
    run_id, least = _find_source(session, campaign, precision) if with_proposals else (None, 0.0)
    statement = _select_labels(campaign.id, run_id).where(*among).order_by(_by_filename(session))
    for row in session.execute(statement.execution_options(yield_per=CHUNK)):
        proposed = run_id is not None and row.status != "agreed" and row.p_left is not None
        yield _proposed_row(row, least) if proposed else _voted_row(row)


def _select_labels(campaign_id: int, run_id: int | None) -> Any:
    """Select images with votes, and with a run also images with its proposals."""
    columns = (
        Image.id.label("image_id"),
        Image.filename,
        Consensus.label,
        Consensus.votes_left,
        Consensus.votes_center,
        Consensus.votes_right,
        Consensus.votes_unsure,
        Consensus.status,
        Consensus.method,
        Consensus.p_left.label("posterior_left"),
        Consensus.p_center.label("posterior_center"),
        Consensus.p_right.label("posterior_right"),
    )
    voted: ColumnElement[bool] = Consensus.votes > 0
    mine = Consensus.campaign_id == campaign_id
    if run_id is None:
        statement = select(*columns, literal(None).label("p_left"))
        return statement.join(Consensus, Consensus.image_id == Image.id).where(mine, voted)
    return (
        select(*columns, Proposal.p_left, Proposal.p_center, Proposal.p_right)
        .join(Consensus, Consensus.image_id == Image.id)
        .outerjoin(Proposal, and_(Proposal.image_id == Image.id, Proposal.model_run_id == run_id))
        .where(mine, or_(voted, Proposal.image_id.is_not(None)))
    )


def _by_filename(session: Session) -> Any:
    """Return the order by code point. PostgreSQL would sort by its language."""
    return Image.filename if is_sqlite(session) else collate(Image.filename, "C")


def _voted_row(row: Row[Any]) -> LabelRow:
    """Make a row from the votes. With the majority rule, probabilities are shares of votes."""
    posterior = (row.posterior_left, row.posterior_center, row.posterior_right)
    if row.method != MAJORITY:
        return _label_row(row, row.label, posterior, "votes")
    counts = (row.votes_left, row.votes_center, row.votes_right)
    named = sum(counts)
    shares = [count / named for count in counts] if named else None
    return _label_row(row, row.label, shares, "votes")


def _proposed_row(row: Row[Any], least: float) -> LabelRow:
    """Make a row from a proposal.

    It has no label if the best label is less probable than `least`, or if two labels tie.
    """
    probabilities = (row.p_left, row.p_center, row.p_right)
    label = likeliest_label(probabilities) if max(probabilities) >= least else None
    return _label_row(row, label, probabilities, "proposal")


def _label_row(
    row: Row[Any], label: str | None, probabilities: Sequence[float] | None, source: str
) -> LabelRow:
    votes = (row.votes_left, row.votes_center, row.votes_right, row.votes_unsure)
    return LabelRow(
        image_id=row.image_id,
        filename=row.filename,
        label=label,
        probabilities=probabilities,
        votes=votes,
        status=row.status,
        source=source,
        method=row.method,
    )


def _vote_rows(session: Session, campaign_id: int) -> Iterator[Sequence[Any]]:
    statement = (
        select(Vote, Image.filename, Annotator.pseudonym)
        .join(Image, Image.id == Vote.image_id)
        .join(Annotator, Annotator.id == Vote.annotator_id)
        .where(Vote.campaign_id == campaign_id)
        .order_by(Vote.id)
    )
    for vote, filename, pseudonym in session.execute(statement.execution_options(yield_per=CHUNK)):
        yield _vote_row(vote, filename, pseudonym)


def _vote_row(vote: Vote, filename: str, pseudonym: str) -> Sequence[Any]:
    return (
        vote.image_id,
        guard_formula(filename),
        guard_formula(pseudonym),
        vote.answer,
        _time(vote.created_at),
        vote.elapsed_ms,
        vote.mode,
        _yes_no(vote.blind),
        vote.shown_label,
        vote.shown_run_id,
        _time(vote.superseded_at),
        vote.withheld_label,
        _yes_no(vote.planted),
        _yes_no(vote.mirrored),
    )


def _yes_no(value: bool) -> str:
    return "true" if value else "false"


def _time(moment: datetime | None) -> str:
    """Write a time in ISO 8601, UTC, to the microsecond. None becomes an empty text."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else ""
