"""People who vote while something breaks, and what became of their votes."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from _load_checks import audit
from _site import Person, Site
from load import RULES, Drive, annotate, double_grants
from sqlalchemy import select

from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.models.consensus import Consensus
from labeler.rules.campaign_rules import Rules

HELD_S = 20.0  # how long a lock, a full disk or a read-only database lasts
AFTER_S = 3.0  # how long people vote on when all is well again
PREFETCH = 5
# No training is due by itself, so the only run is that of the job.
CHANGES = {"order": "random", "retrain_votes": 0}
VOTING_RULES = Rules.from_dict(RULES["majority"].as_dict() | CHANGES)
Action = Callable[[Drive], Any]


def new_drive(site: Site, people: int, votes: int, rate: float = 0.0) -> Drive:
    """A load on the first campaign; `rate`: votes a second of all people, 0: the most."""
    return Drive([site], VOTING_RULES, 1, people, votes, votes, rate, PREFETCH)


def vote_while(drive: Drive, people: list[Person], action: Action) -> Any:
    """People vote; after a third of the votes something happens, in a thread.

    Returns what the action returned.
    """
    return asyncio.run(_vote_while(drive, people, action))


async def _vote_while(drive: Drive, people: list[Person], action: Action) -> Any:
    voting = [asyncio.create_task(annotate(drive, person)) for person in people]
    # At a pace the number of votes is no limit, and the action alone decides when it is over.
    first = drive.people if drive.rate else drive.votes / 3
    while len(drive.ends) < first and not all(task.done() for task in voting):
        await asyncio.sleep(0.02)
    try:
        result = await asyncio.to_thread(action, drive)
        if drive.rate:
            await asyncio.sleep(AFTER_S)
            drive.left = 0
        await asyncio.gather(*voting)
    finally:
        for task in voting:  # if the action has failed, the site may never answer them
            task.cancel()
    return result


def votes_row(drive: Drive, leases_end: bool = False) -> dict[str, Any]:
    """What became of the votes, and what people saw. The site has stopped.

    Parameters:
        leases_end: whether leases may end early. Then an image may be handed out again, and a vote
            may be refused for good.
    """
    wrong = _rebuild(drive.site.db, drive.campaign_id)
    checks = audit(drive.site.db, drive.campaign_id, drive.log, False)
    seen: Counter[str] = drive.vote.failures + drive.lease.failures
    lease_s = drive.site.settings.lease_seconds
    faults = {
        "lost": checks["lost"] + checks["changed"],
        "doubled": checks["doubled"] + checks["persons_twice_on_an_image"],
        "consensus_wrong": wrong,
    }
    if not leases_end:
        twice = double_grants(drive.log, VOTING_RULES.votes_needed, lease_s)
        faults |= {"handed_out_too_often": twice, "refused": len(drive.log.refused)}
    waits = [*drive.vote.ms, *drive.vote.retried_ms, 0.0]
    return {
        "acknowledged": len(drive.log.acknowledged),
        **faults,
        "longest_wait_s": round(max(waits) / 1000, 1),
        "seen": dict(seen.most_common(5)),
        "tracebacks": tracebacks(drive.site.log()),
        "sound": bool(drive.log.acknowledged) and not any(faults.values()),
    }


def _rebuild(db: Database, campaign_id: int) -> int:
    """Derive the consensus again; returns how many rows had other votes or another label.

    The probabilities also follow what the worker thinks of the people, which changes each minute.
    """
    columns: tuple[Any, ...] = (
        Consensus.image_id,
        Consensus.status,
        Consensus.label,
        Consensus.votes_left,
    )
    columns += (Consensus.votes_center, Consensus.votes_right, Consensus.votes_unsure)
    rows = select(*columns).where(Consensus.campaign_id == campaign_id)
    with db.write() as session:
        before = set(session.execute(rows).all())
        rebuild(session, campaign_id)
        return len(before ^ set(session.execute(rows).all())) // 2


def tracebacks(log: str) -> dict[str, int]:
    """How often each error was logged with a traceback, by its last line."""
    ends = (
        re.search(r"^\w[\w.]*(Error|Exception|Exit)?\b.*", part, re.MULTILINE)
        for part in log.split("Traceback (most recent call last):\n")[1:]
    )
    return dict(Counter(found.group()[:120] if found else "?" for found in ends))
