#!/usr/bin/env python3
"""Time each page at the size of CelebA with three votes an image.

An empty database is filled (`_campaign_history.py`), and a refresh processes the votes. Then each
page is requested through the test client, signed in as an admin, or as an annotator for the pages
that everybody has. This covers statements, template and answer, without the network. `cpu` is the
processor time of this process. It includes SQLite but not the PostgreSQL server. Other work on the
machine affects wall time only.

Examples:
    python benchmarks/dashboard_speed.py --json
    python benchmarks/dashboard_speed.py --database postgres --json
    python benchmarks/dashboard_speed.py --images 2000 --votes 6000
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import time
from typing import Any

import numpy as np
from _campaign_history import CampaignHistory, make_history
from _site import Site, new_site
from _turned_heads import turn_heads
from flask import Flask
from PIL import Image as Picture
from sqlalchemy import func, select, update

from labeler.accounts.sessions import open_session
from labeler.app import create_app
from labeler.database.engine import Database
from labeler.images.filtering import ImageFilter
from labeler.models.accounts import Annotator, Group, GroupMember
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Dataset, Image
from labeler.models.people import ImageFlag, Message, ReturnedAnswer
from labeler.models.studio import HeadTurn
from labeler.models.voting import Vote
from labeler.progress.campaign_progress import campaign_progress
from labeler.quality.refresh import judge_people
from labeler.studio.sharing import share_turn
from labeler.subsets.service import freeze_filter, keep_filter

PAGES = {
    "overview": "/admin/",
    "overview by the hour": "/admin/?per=hour",
    "overview by the day": "/admin/?per=day",
    "quality": "/admin/quality",
    "one person": "/admin/quality/1",
    "agreement": "/admin/agreement",
    "model runs": "/admin/runs",
    "mean faces": "/admin/mean-faces",
    "data sets": "/admin/data-sets",
    "people": "/admin/people",
    "campaigns": "/admin/campaigns",
    "contested": "/admin/contested",
    "images": "/admin/images",
    "images, far behind": "/admin/images?status=agreed&label=left&after=150000",
    "images by name": "/admin/images?search=02599",
    "images by a name that none has": "/admin/images?search=none",
    "images of a person": "/admin/images?identity=4711",
    "images by attributes": "/admin/images?attribute-Attribute_3=yes&attribute-Attribute_7=no",
    "images by yaw, agreed": "/admin/images?status=agreed&yaw_from=50",
    "images by probability": "/admin/images?label=left&probability_from=90",
    "images that differ, surely": "/admin/images?differs=yes&confidence_from=99.9",
    "images that differ, gold": "/admin/images?differs=yes&gold=yes",
    "images, if none meets the conditions": "/admin/images?status=open&label=left&proposal=left",
    "images by ten conditions at once": "/admin/images?search=1&status=agreed&label=left"
    "&proposal=right&confidence_from=99&differs=yes&gold=no&partition=0&yaw_from=-5&yaw_to=5"
    "&attribute-Attribute_3=yes",
    "one image": "/admin/images/1",
    "subsets": "/admin/subsets",
    "a frozen subset": "/admin/subsets/1",
    "a live subset": "/admin/subsets/2",
    "keep a subset": "/admin/subsets/new?label=left",
    "images of a frozen subset": "/admin/images?subset=1",
    "images of a frozen subset, far behind": "/admin/images?subset=1&label=left&after=150000",
    "studio": "/studio",
    "studio, far behind": "/studio?before=100",
    "a turned head": "/studio/1",
    "its source": "/studio/1/pictures/0",
    "two turned heads": "/studio/compare?a=1&b=2",
    "turn a head": "/studio/new?image=1",
    "turn it again": "/studio/new?turn=1",
    "pictures at each angle": "/studio/clusters?source=1&light=left&proposals=yes"
    "&at=-30:5,-20:5,-10:5,0:5,10:5,20:5,30:5",
    "mean face of 24 pictures": "/studio/clusters/mean?source=1&light=left&proposals=yes&at=0:5",
    "pictures that share two attributes": "/studio/clusters?source=1&light=left&proposals=yes"
    "&attributes=Attribute_3&attributes=Attribute_7&at=-30:5,-20:5,-10:5,0:5,10:5,20:5,30:5",
    "pictures of a live subset": "/studio/clusters?source=1&light=left&subset=2&at=0:5,30:10",
}
PAGES |= {
    "images with flags": "/admin/images?flagged=yes",
    "one contested image": "/admin/contested/1",
    "past decisions": "/admin/decisions",
    "gold questions": "/admin/gold",
    "a campaign": "/admin/campaigns/1",
    "new campaign": "/admin/campaigns/new",
    "delete a campaign": "/admin/campaigns/1/delete",
    "add images": "/admin/data-sets/add",
    "people by name": "/admin/people?search=1",
    "a person": "/admin/people/1",
    "invites": "/admin/invites",
    "groups": "/admin/groups",
    "a group": "/admin/groups/1",
    "all messages": "/admin/messages",
    "messages of a person": "/admin/people/1/messages",
    "jobs": "/admin/jobs",
    "audit log": "/admin/audit",
    "help": "/admin/help",
    "help for a page": "/admin/help/quality",
    "edit the privacy notice": "/admin/privacy",
    "privacy": "/privacy",
    "language": "/language",
}
IN_GERMAN = ("overview", "images", "a campaign")
OWN_PAGES = {  # of a person who has answered, was written to and got answers back
    "label": "/label",
    "own progress": "/me",
    "own answers": "/me?answer=left",
    "own messages": "/messages",
    "verify many images": "/grid?label=left&source=model&size=48",
    "guide": "/guide",
    "account": "/account",
}
CLUSTERS = "/studio/preview"  # what the form of the studio asks for after each change
FORMS: dict[str, dict[str, Any]] = {
    "clusters of one light": {"light": "left"},
    "clusters by votes of one light": {"light": "left", "proposals": ""},
    "clusters of a source that shares attributes": {
        "source": "1",
        "light": "left",
        "attributes": ["Attribute_3", "Attribute_7"],
        "min_percent": "60",
    },
    "clusters of a frozen subset": {"filter": "any", "subset": "1"},
    "clusters of a live subset": {"filter": "any", "subset": "2"},
}
FIELDS = {
    "light": "auto",
    "filter": "light",
    "angles": "30",
    "way": "auto",
    "size": "0",
    "min_percent": "0",
    "min_cluster": "20",
    "max_cluster": "100",
    "seed": "0",
    "proposals": "yes",
}
TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
TARGET_MS = 300.0
TURNED_HEADS = 2_000
MESSAGES, RETURNED, FLAGGED = 100, 40, 80  # of each person
WITH_FILES = 2_000  # images


def main() -> None:
    args = _arguments()
    with new_site(args.database) as site:
        started = time.perf_counter()
        history = CampaignHistory(
            args.images, args.votes, args.people, seed=args.seed, end=utc_now()
        )
        campaign_id = make_history(site.db, history)
        filled = time.perf_counter()
        judge_people(site.db, campaign_id)
        judged = time.perf_counter()
        frozen_s = _keep_subsets(site.db, campaign_id)
        _talk(site.db, campaign_id)
        turn_heads(site.db, site.settings, TURNED_HEADS)
        _write_pictures(site)
        _settle(site.db)
        pages = _measure(site, args.repeats)
        figures = {
            "database": args.database,
            "images": args.images,
            "votes": args.votes,
            "people": args.people,
            "filling_s": round(filled - started, 1),
            "judging_s": round(judged - filled, 1),
            "freezing_s": round(frozen_s, 2),
            "recount_is_the_same": _recount_is_the_same(site.db, campaign_id),
            "pages_ms": pages,
            "worst_ms": max(page["worst"] for page in pages.values()),
            "target_ms": TARGET_MS,
            "load_average": [round(load, 1) for load in os.getloadavg()],
        }
    print(json.dumps(figures, indent=2) if args.json else _table(figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=202_599)
    parser.add_argument("--votes", type=int, default=600_000)
    parser.add_argument("--people", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _keep_subsets(db: Database, campaign_id: int) -> float:
    """Keep all images as a frozen subset, and a live one; returns the seconds of freezing."""
    started = time.perf_counter()
    with db.write() as session:
        campaign = session.get_one(Campaign, campaign_id)
        freeze_filter(session, campaign, "all", ImageFilter())
    took = time.perf_counter() - started
    with db.write() as session:
        campaign = session.get_one(Campaign, campaign_id)
        keep_filter(session, campaign, "left", ImageFilter(label="left"))
    return took


def _talk(db: Database, campaign_id: int) -> None:
    """Everybody is in a group, writes, is written to, flags images and gets answers back."""
    with db.write() as session:
        people = list(session.scalars(select(Annotator.id)))
        group = Group(name="everybody")
        session.add(group)
        session.flush()
        for person in people:
            session.add(GroupMember(group_id=group.id, annotator_id=person))
            own = select(Vote.id, Vote.image_id).where(
                Vote.annotator_id == person, Vote.superseded_at.is_(None)
            )
            votes = session.execute(own.limit(FLAGGED)).all()
            session.add_all(
                Message(annotator_id=person, author_id=person, text=f"Question {number}")
                for number in range(MESSAGES)
            )
            session.add_all(
                ImageFlag(
                    campaign_id=campaign_id, image_id=image, annotator_id=person, reason="light"
                )
                for _, image in votes
            )
            session.add_all(
                ReturnedAnswer(vote_id=vote, annotator_id=person, returned_by_id=person)
                for vote, _ in votes[:RETURNED]
            )


def _write_pictures(site: Site) -> None:
    """Give the first images files, of which mean faces can be drawn."""
    folder = site.settings.home / "faces"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (218, 178, 3), np.uint8)
    Picture.fromarray(pixels).save(folder / "one", "JPEG")
    with site.db.write() as session:
        session.execute(update(Dataset).values(path=str(folder)))
        names = session.scalars(select(Image.filename).order_by(Image.id).limit(WITH_FILES))
        for name in names:
            (folder / name).hardlink_to(folder / "one")


def _settle(db: Database) -> None:
    """What PostgreSQL's own cleaner does within minutes, and a checkpoint of SQLite's log."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        statement = "PRAGMA wal_checkpoint(TRUNCATE)" if db.is_sqlite else "VACUUM ANALYZE"
        connection.exec_driver_sql(statement)


def _measure(site: Site, repeats: int) -> dict[str, dict[str, float]]:
    app = create_app(site.settings)
    with site.db.write() as session:
        boss = Annotator(username="boss", pseudonym="boss", role="admin", password_hash="!")
        session.add(boss)
        session.flush()
        boss_id, person_id = boss.id, session.scalars(select(func.min(Annotator.id))).one()
        link = f"/shared/{share_turn(session, session.get_one(HeadTurn, 1))}"
    client, own = (_sign_in(site, app, who) for who in (boss_id, person_id))
    shared = {"a shared link": link, "its strip": f"{link}/strip.png"}
    try:
        pages = {name: _time(client, one, repeats) for name, one in (PAGES | shared).items()}
        pages |= {name: _time(own, address, repeats) for name, address in OWN_PAGES.items()}
        token = TOKEN.search(client.get("/studio/new").text)
        assert token is not None
        for name, changed in FORMS.items():
            sent = {**FIELDS, **changed, "csrf_token": token[1]}
            pages[name] = _time(client, CLUSTERS, repeats, sent)
        client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "de"
        pages |= {f"{name}, in German": _time(client, PAGES[name], repeats) for name in IN_GERMAN}
        return pages
    finally:
        app.extensions["sidelight_db"].dispose()


def _sign_in(site: Site, app: Flask, person_id: int) -> Any:
    """A test client of this person, which has loaded the imports and templates of the frame."""
    client = app.test_client()
    with site.db.write() as session:
        person = session.get_one(Annotator, person_id)
        token = open_session(session, person, "benchmark", site.settings)
    with client.session_transaction() as cookie:
        cookie["token"] = token
    client.get("/account")
    return client


def _time(
    client: Any, address: str, repeats: int, sent: dict[str, Any] | None = None
) -> dict[str, float]:
    """Request a page repeatedly; `sent`: the form that is posted to it."""
    took, cpu = [], []
    for _ in range(repeats):
        start, before = time.perf_counter(), time.process_time()
        answer = client.get(address) if sent is None else client.post(address, data=sent)
        took.append(1000 * (time.perf_counter() - start))
        cpu.append(1000 * (time.process_time() - before))
        assert answer.status_code == 200, f"{address}: {answer.status_code}"
    return {
        "first": round(took[0], 1),
        "median": round(statistics.median(took), 1),
        "worst": round(max(took), 1),
        "cpu": round(statistics.median(cpu), 1),
        "kilobytes": round(len(answer.data) / 1000, 1),
    }


def _recount_is_the_same(db: Database, campaign_id: int) -> bool:
    """Whether the overview's numbers are those of the rows, counted one by one."""
    with db.read() as session:
        shown = campaign_progress(session, campaign_id)
        images = session.execute(
            select(Consensus.status, func.count()).group_by(Consensus.status)
        ).all()
        answers = session.execute(
            select(Vote.answer, func.count())
            .where(Vote.superseded_at.is_(None))
            .group_by(Vote.answer)
        ).all()
    told = {"open": shown.open, "agreed": shown.agreed, "contested": shown.contested}
    return {name: n for name, n in told.items() if n} == dict(images) and shown.answers == dict(
        answers
    )


def _table(figures: dict[str, Any]) -> str:
    lines = [f"{figures['images']:,} images, {figures['votes']:,} votes, {figures['database']}"]
    for name, page in figures["pages_ms"].items():
        lines.append(
            f"{name:22} median {page['median']:7.1f} ms   worst {page['worst']:7.1f} ms"
            f"   cpu {page['cpu']:6.1f} ms"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
