"""Faults while the background worker does a job of each kind, and people vote."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _fault_places import Cluster, own_postgres
from _fault_voters import VOTING_RULES, new_drive, vote_while, votes_row
from _site import Site, new_site, sign_up
from load import prepare
from PIL import Image as Picture
from sqlalchemy import delete, func, insert, select, update

from labeler.consensus.store import follows_other_rules, rebuild
from labeler.jobs import kinds
from labeler.mean_faces import files
from labeler.models.accounts import Annotator
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Dataset, Image
from labeler.models.jobs import Job
from labeler.models.proposals import ModelRun, Proposal
from labeler.models.voting import Vote
from labeler.proposals.runs import current_run
from labeler.proposals.service import train_and_propose
from rotation.data.labels import LABELS

PEOPLE, RATE = 4, 10.0  # who vote meanwhile, and their votes a second
JOB_WAIT_S = 200.0
WORK_S = 0.4  # how long a job has worked when it is struck
ROWS_LEFT = 2_000  # images that people can vote on before the others are added
OPTIONS = files.Options()


@dataclass(frozen=True)
class JobCase:
    """What a kind of job works on, and whether it did all of it.

    Attributes:
        images: of the data set.
        prepare: makes the work.
        undone: what is missing afterwards; empty if nothing.
        parameters: of the job.
    """

    images: int
    prepare: Callable[[Site], None]
    undone: Callable[[Site], str]
    parameters: dict[str, Any] | None = None


def in_a_job(kind_name: str, blow: str, kind: str) -> dict[str, Any]:
    """Strike while a job of this kind is at work; returns the row of the table.

    Raises:
        MissingError: the machine lacks what the row needs.
    """
    case = CASES[kind_name]
    with own_postgres(kind == "postgres") as cluster, new_site(kind, with_worker=True) as site:
        prepare(site.db, case.images, VOTING_RULES)
        case.prepare(site)
        people = sign_up(site, PEOPLE)
        site.start()
        drive = new_drive(site, PEOPLE, 10**6, RATE)
        job = vote_while(
            drive, people, lambda _: _strike(site, cluster, kind_name, case, BLOWS[blow])
        )
        site.stop()
        with site.db.read() as session:
            outdated = follows_other_rules(session, session.get_one(Campaign, 1))
        undone = "labels by old rules" if outdated else case.undone(site)
        left = _processes(site)
        row = votes_row(drive)
    outcome = f"{job['state']}, attempt {job['attempts']}" if job["struck"] else "ended too early"
    problems = [words for words in (undone, f"{left} processes left" if left else "") if words]
    if job["state"] != "done" and job["problem"]:
        problems.append(job["problem"])
    right = job["struck"] and job["state"] == "done" and not problems
    return {
        "fault": f"{BLOWS[blow].words} in {kind_name}",
        "database": kind,
        "outcome": "; ".join([outcome, *problems]),
        "job_done_after_s": job["seconds"],
        **row,
        "sound": row["sound"] and right,
    }


@dataclass(frozen=True)
class Blow:
    """What happens to a site at work: `strike` gets the site and its PostgreSQL server."""

    words: str
    strike: Callable[[Site, Cluster | None], None]
    databases: tuple[str, ...] = ("sqlite", "postgres")


def _strike(
    site: Site, cluster: Cluster | None, kind_name: str, case: JobCase, blow: Blow
) -> dict[str, Any]:
    """Queue a job, strike when it works, and wait for its end."""
    subject = 1
    with site.db.write() as session:
        job_id = kinds.KINDS[kind_name].queue(session, subject, **(case.parameters or {}))
        if job_id is None:  # the worker has queued it, because it is due
            job_id = session.scalars(select(func.max(Job.id)).where(Job.kind == kind_name)).one()
        queued = time.monotonic()
        runs = session.scalar(select(func.count()).select_from(ModelRun)) or 0
    while not _works(site, job_id, runs if kind_name == "propose_labels" else None):
        if time.monotonic() - queued > JOB_WAIT_S:
            return _ending(site, job_id, queued) | {"struck": False}
        time.sleep(0.005)
    time.sleep(WORK_S)
    struck = _ending(site, job_id, queued)["state"] == "running"
    began = time.monotonic()
    blow.strike(site, cluster)
    while time.monotonic() - began < JOB_WAIT_S:
        ending = _ending(site, job_id, began)
        if ending["state"] not in ("queued", "running"):
            break
        time.sleep(0.1)
    return ending | {"struck": struck}


def _works(site: Site, job_id: int, runs_before: int | None) -> bool:
    """Whether the job is at work. A training imports for seconds, so its run must be there too."""
    with site.db.read() as session:
        if session.get_one(Job, job_id).state == "queued":
            return False
        runs = session.scalar(select(func.count()).select_from(ModelRun)) or 0
        return runs_before is None or runs > runs_before


def _ending(site: Site, job_id: int, began: float) -> dict[str, Any]:
    with site.db.read() as session:
        job = session.get_one(Job, job_id)
    seconds = round(time.monotonic() - began, 1)
    return {
        "state": job.state,
        "attempts": job.attempts,
        "problem": job.problem,
        "seconds": seconds,
    }


def _kill_worker(site: Site, _: Cluster | None) -> None:
    for pid in _workers(site):
        os.kill(pid, signal.SIGKILL)


def _stop_worker(site: Site, _: Cluster | None) -> None:
    for pid in _workers(site):
        os.kill(pid, signal.SIGTERM)


def _kill_both(site: Site, _: Cluster | None) -> None:
    site.kill_all()
    site.start()


def _crash(site: Site, cluster: Cluster | None) -> None:
    assert cluster is not None
    cluster.stop("immediate")
    site.db.dispose()
    cluster.start()


BLOWS = {
    "site": Blow("`kill -9` of a process of the site", lambda site, _: site.kill_worker()),
    "worker": Blow("`kill -9` of the worker", _kill_worker),
    "both": Blow("`kill -9` of both, then a new start", _kill_both),
    "sigterm": Blow("SIGTERM to the worker", _stop_worker),
    "crash": Blow("the database crashes and is started again", _crash, ("postgres",)),
}


def _workers(site: Site) -> list[int]:
    return [pid for pid, words in _commands(site) if b"worker" in words]


def _processes(site: Site) -> int:
    """How many processes of the site are left, a moment after its end."""
    end = time.monotonic() + 10.0
    while (left := len(_commands(site))) and time.monotonic() < end:
        time.sleep(0.2)
    return left


def _commands(site: Site) -> list[tuple[int, list[bytes]]]:
    """The processes of a site: their ids and the words of their command lines."""
    found, home = [], f"SIDELIGHT_HOME={site.settings.home}".encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if home in (path.parent / "environ").read_bytes().split(b"\0"):
                found.append((int(path.parent.name), path.read_bytes().split(b"\0")))
    return found


def _new_rules(site: Site) -> None:
    with site.db.write() as session:
        campaign = session.get_one(Campaign, 1)
        campaign.rules = campaign.rules | {"required_votes": 2, "vote_cap": 9}


def _new_votes(site: Site) -> None:
    """Two votes on each image, which no label follows yet."""
    _add_votes(site, 2)


def _remove_rows(site: Site) -> None:
    with site.db.write() as session:
        session.execute(delete(Consensus).where(Consensus.image_id > ROWS_LEFT))


def _add_faces_and_votes(site: Site) -> None:
    """A picture for each image, and two votes, from which labels are derived."""
    folder = site.settings.home / "faces"
    folder.mkdir()
    for number, label in enumerate(LABELS):
        picture = Picture.linear_gradient("L").rotate(120 * number).resize((178, 218))
        picture.convert("RGB").save(folder / f"{label}.png")
    with site.db.write() as session:
        session.execute(update(Dataset).values(path=str(folder)))
        for number, filename in enumerate(session.scalars(select(Image.filename))):
            os.link(folder / f"{LABELS[number % 3]}.png", folder / filename)
    _add_votes(site, 2)
    with site.db.write() as session:
        rebuild(session, 1)


def _add_votes(site: Site, people: int) -> None:
    with site.db.write() as session:
        earlier = [
            Annotator(username=f"earlier{number}", pseudonym=f"e{number:04d}", password_hash="!")
            for number in range(people)
        ]
        session.add_all(earlier)
        session.flush()
        images = session.scalars(select(Image.id).order_by(Image.id)).all()
        rows = [
            {
                "campaign_id": 1,
                "image_id": image_id,
                "annotator_id": annotator.id,
                "answer": LABELS[number % 3],
                "request_id": str(uuid.UUID(int=image_id * 100 + annotator.id)),
                "blind": True,
            }
            for annotator in earlier
            for number, image_id in enumerate(images)
        ]
        session.execute(insert(Vote), rows)


def _two_runs(site: Site) -> None:
    """Two trained runs. The proposals of the older one are gone."""
    _add_faces_and_votes(site)
    for _ in range(2):
        train_and_propose(site.db, 1, processes=1)
    with site.db.write() as session:
        session.execute(delete(Proposal).where(Proposal.model_run_id == 1))


def _nothing_undone(_: Site) -> str:
    return ""


def _no_new_run(site: Site) -> str:
    with site.db.read() as session:
        by_status = dict(
            session.execute(select(ModelRun.status, func.count()).group_by(ModelRun.status)).all()
        )
    if by_status.get("training"):
        return "a run is left in training"
    published = by_status.get("published", 0)
    return "" if published == 1 else f"{published} published runs"


def _not_restored(site: Site) -> str:
    with site.db.read() as session:
        run = current_run(session, 1)
        proposals = select(func.count()).select_from(Proposal).where(Proposal.model_run_id == 1)
        n_proposals = session.scalar(proposals)
    if run is None or run.id != 1:
        return "the older run is not current"
    missing = CASES["restore_run"].images - (n_proposals or 0)
    return f"{missing} proposals are missing" if missing else ""


def _no_figure(site: Site) -> str:
    folder = site.settings.home / files.FOLDER
    if files.find(site.settings.home, 1, OPTIONS) is None:
        return "there is no figure"
    return "unfinished files are left" if list(folder.glob("*.new.*")) else ""


def _rows_missing(site: Site) -> str:
    with site.db.read() as session:
        rows = session.scalar(select(func.count()).select_from(Consensus)) or 0
    missing = CASES["fill_campaign"].images - rows
    return f"{missing} images are missing" if missing else ""


CASES: dict[str, JobCase] = {
    "propose_labels": JobCase(400, _add_faces_and_votes, _no_new_run),
    "restore_run": JobCase(1_500, _two_runs, _not_restored),
    "refresh_dataset": JobCase(20_000, _new_rules, _nothing_undone),
    "refresh_all_images": JobCase(20_000, _new_rules, _nothing_undone),
    "refresh_campaign": JobCase(10_000, _new_votes, _nothing_undone),
    "fill_campaign": JobCase(20_000, _remove_rows, _rows_missing),
    "draw_mean_faces": JobCase(
        6_000,
        _add_faces_and_votes,
        _no_figure,
        {"options": {"mirror": True, "min_percent": 0, "with_proposals": False}},
    ),
}
