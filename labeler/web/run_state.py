"""What the model of a campaign is doing: the run in training, and when the next one is due."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from labeler.models import Campaign, ModelRun
from labeler.services import restoring, retraining, runs
from labeler.web.numbers import plural

PUBLICATIONS_SHOWN = 20
FEW_S = 5.0  # of a step, before which nobody can tell how long it takes


@dataclass(frozen=True, slots=True)
class Running:
    """A run in training. `total` 0: how far it is cannot be told."""

    id: int
    begun_at: datetime
    automatic: bool
    words: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class RunState:
    """`next`: when the next run begins, as a sentence."""

    running: Running | None
    next: str


@dataclass(frozen=True, slots=True)
class Published:
    """A run became the current one. `by`: who did it; None: nobody, the run was due."""

    run: int
    at: datetime
    by: str | None
    again: bool


def run_state(session: Session, campaign: Campaign) -> RunState:
    """What is going on now, and what will."""
    running = runs.running_run(session, campaign.dataset_id)
    due = retraining.load_schedule(session, campaign)
    return RunState(_running(running) if running else None, _next(due, campaign.active))


def list_published(session: Session, dataset_id: int) -> Sequence[Published]:
    """Which run became the current one when, the last first."""
    found = restoring.list_publications(session, dataset_id, PUBLICATIONS_SHOWN + 1)
    rows = []
    for place, (publication, name) in enumerate(found):
        # Runs are numbered as they begin, and one of a data set begins at a time.
        again = any(one.model_run_id >= publication.model_run_id for one, _ in found[place + 1 :])
        rows.append(Published(publication.model_run_id, publication.at, name, again))
    return rows[:PUBLICATIONS_SHOWN]


def _running(run: ModelRun) -> Running:
    told = run.progress or {}
    step, done, total = told.get("step", "starting"), told.get("done", 0), told.get("total", 0)
    words = step
    if total:
        words += f", {done:,} of {total:,}"
        spent = time.time() - told["began"]
        if done and spent >= FEW_S:
            left = max(1, round(spent / done * (total - done)))
            words += f", about {left:,} s left" if left < 90 else f", about {left // 60} min left"
    return Running(run.id, run.created_at, bool(run.settings.get("automatic")), words, done, total)


def _next(due: retraining.Schedule, active: bool) -> str:
    votes = f"{due.votes:,} {plural(due.votes, 'vote')}"
    if due.due_at is None:
        return f"A run starts only when somebody requests it. There are {votes}."
    if not active:
        return f"No run starts automatically while the campaign is inactive. There are {votes}."
    if due.is_due:
        return (
            f"With {votes} the next run is due. It starts within a minute, as soon as the "
            "background worker is free and people have given at least two different labels."
        )
    return f"The next run starts automatically at {due.due_at:,} votes. There are {due.votes:,}."
