#!/usr/bin/env python3
"""Measure votes a second with and without a head being turned beside them.

The real site runs with its workers (`manage.py serve`). A class votes over HTTP in windows of a
fixed number of votes, in turn while a turn computes latents and while no job runs. The latents are
deleted before each turn, so that none ends early. The ratio of each pair of neighbouring windows
counts, since other work on the machine slows both down.

Example:
    OMP_NUM_THREADS=1 python benchmarks/votes_beside_turn.py --pairs 8 --votes 1000 --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import time
from typing import Any

import load
import numpy as np
from _campaign_history import CampaignHistory, make_history
from _site import Person, Site, new_site, sign_up
from sqlalchemy import select, update

from labeler.audit.log import Actor
from labeler.home_files import TURNING
from labeler.jobs import queue
from labeler.jobs.turning import order_turn
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset, Image
from labeler.models.jobs import Job
from labeler.models.studio import HeadTurn
from labeler.studio.choices import TurnChoices
from labeler.studio.turns import NewTurn
from rotation.synthetic_heads.dataset import write_dataset

VOTES_OF_HEADS, PEOPLE_OF_HEADS = 3, 8
ENGINE_S = 600.0  # until the engine computes latents, or has ended
LOOK_S = 0.5
COMPUTING = "latents"  # in the progress of the job
DRAWS = 10_000  # of the bootstrap
MOST_LOST = 1 / 3


def main() -> None:
    options = _options()
    with new_site(options.database, with_worker=True) as site:
        _add_heads(site, options.heads)
        campaign_id = load.prepare(site.db, options.images, load.RULES["majority"])
        people = sign_up(site, options.annotators)
        site.start()
        windows: dict[str, list[float]] = {"beside": [], "alone": []}
        for pair in range(options.pairs):
            for kind in ("beside", "alone") if pair % 2 else ("alone", "beside"):
                job_id = _begin_turn(site, pair) if kind == "beside" else 0
                seed = 2 * pair + (kind == "beside")
                windows[kind].append(_drive(site, people, campaign_id, options.votes, seed))
                if job_id:
                    _end_turn(site, job_id)
        figures = _figures(options, windows)
    print(json.dumps(figures, indent=2) if options.json else figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=8, help="of windows with and without a turn")
    parser.add_argument("--votes", type=int, default=1_000, help="in each window")
    parser.add_argument("--annotators", type=int, default=16)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--heads", type=int, default=400, help="rendered, to learn from")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _add_heads(site: Site, count: int) -> None:
    """Add rendered heads with votes, as a data set whose campaign nobody labels."""
    folder = write_dataset(site.settings.home / "heads", count)
    votes = VOTES_OF_HEADS * count
    history = CampaignHistory(count, votes, PEOPLE_OF_HEADS, seed=0, end=utc_now())
    campaign_id = make_history(site.db, history)
    with site.db.write() as session:
        session.execute(update(Campaign).where(Campaign.id == campaign_id).values(active=False))
        session.execute(update(Dataset).values(path=str(folder)))
        session.add(Annotator(username="boss", pseudonym="boss", role="admin", password_hash="!"))


def _begin_turn(site: Site, number: int) -> int:
    """Order a turn, and wait until it computes latents; returns the number of its job."""
    shutil.rmtree(site.settings.home / TURNING, ignore_errors=True)
    choices = TurnChoices(light="left", way="line", min_cluster=1, yaw_deg=0.0)
    with site.db.read() as session:
        boss = session.scalars(select(Annotator.id).where(Annotator.username == "boss")).one()
        dataset_id, campaign_id = session.execute(
            select(Campaign.dataset_id, Campaign.id).order_by(Campaign.id).limit(1)
        ).one()
        image_id, name = session.execute(
            select(Image.id, Image.filename).where(Image.dataset_id == dataset_id).limit(1)
        ).one()
    wanted = NewTurn(
        f"Turn {number}", name, choices.as_dict(), dataset_id, campaign_id, image_id, None, False
    )
    turn_id = order_turn(site.db, site.settings, wanted, boss, Actor(boss))
    with site.db.read() as session:
        job_id = session.get_one(HeadTurn, turn_id).job_id
    assert job_id is not None
    _wait(site, job_id, lambda job: COMPUTING in (job.progress or {}).get("step", ""))
    return job_id


def _end_turn(site: Site, job_id: int) -> None:
    """Cancel the turn that should still be running, and wait for its end."""
    with site.db.write() as session:
        job = session.get_one(Job, job_id)
        assert job.state == "running", f"the turn has ended too early: {job.state}, {job.problem}"
        queue.cancel(session, job_id, "boss")
    _wait(site, job_id, lambda job: job.state == "cancelled")


def _wait(site: Site, job_id: int, reached: Any) -> None:
    end = time.monotonic() + ENGINE_S
    while True:
        with site.db.read() as session:
            job = session.get_one(Job, job_id)
            if reached(job):
                return
            assert job.state in ("queued", "running"), job.problem
        assert time.monotonic() < end, site.log()[-2000:]
        time.sleep(LOOK_S)


def _drive(site: Site, people: list[Person], campaign_id: int, votes: int, seed: int) -> float:
    """Let everybody vote; returns votes a second."""
    rules = load.RULES["majority"]
    drive = load.Drive([site], rules, campaign_id, len(people), votes, votes, 0.0, 5, seed)
    seconds = asyncio.run(load.run(drive, people, kill=False))
    assert not drive.log.refused, drive.log.refused[:3]
    return len(drive.log.acknowledged) / seconds


def _figures(options: argparse.Namespace, windows: dict[str, list[float]]) -> dict[str, Any]:
    ratios = np.array(windows["beside"]) / np.array(windows["alone"])
    drawn = np.random.default_rng(0).choice(ratios, (DRAWS, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return {
        "settings": vars(options) | {"processors": os.cpu_count()},
        "votes_per_second": {kind: np.round(one, 1).tolist() for kind, one in windows.items()},
        "median_ratio": round(float(np.median(ratios)), 3),
        "interval_95": [round(float(low), 3), round(float(high), 3)],
        "falls_by_at_most_a_third": bool(np.median(ratios) >= 1 - MOST_LOST),
        "load_average": [round(one, 1) for one in os.getloadavg()],
    }


if __name__ == "__main__":
    main()
