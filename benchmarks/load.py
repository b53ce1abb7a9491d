#!/usr/bin/env python3
"""Load test: a whole class votes at once on a data set of CelebA's size. Are all votes stored?

It starts the real site (`manage.py serve`) in its own folder and drives it over HTTP. Each person
uses one connection that is kept alive. A vote also asks for the next image. Rows of images are
written straight into the tables, without files. With `--pictures` there are files, and each person
fetches the picture of each image that they get. With `--servers N`, the people are spread over N
servers of one database and home, as on N machines.

Examples:
    python benchmarks/load.py --images 202599 --annotators 64 --votes 100000 --json
    python benchmarks/load.py --votes 100000 --database postgres --kill --json
    python benchmarks/load.py --votes 20000 --rate 250 --json
    python benchmarks/load.py --votes 20000 --pictures --json
    python benchmarks/load.py --votes 20000 --servers 2 --database postgres --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _http_client import Browser, RefusedError, Timing
from _load_checks import Log, audit, double_grants, hands
from _load_pictures import SIZE, filename, picture, write_pictures
from _site import Person, Site, new_site, sign_up
from sqlalchemy import insert

from labeler.campaigns.service import CampaignPlan, activate_campaign, create_campaign
from labeler.database.engine import Database
from labeler.models.images import Dataset, Image
from labeler.rules.campaign_rules import Rules
from rotation.data.labels import LABELS

ROWS = 5_000  # of images, in one statement
SKILL = 0.85  # of the simulated answers
SAMPLE_S = 0.5
LAST_TRIES, LAST_PAUSE_S = 8, 0.5  # for images that others may still leave over
RULES = {
    "majority": Rules(method="majority", required_votes=3, gold_rate=0.0),
    "posterior": Rules(gold_rate=0.0),
}


Granted = dict[str, Any]
"""An image as the site describes it to the page: `image_id`, `url` and more."""


@dataclass
class Drive:
    """A load while it runs. `left`: votes that nobody has begun yet.

    `seed`: of the answers and the numbers of requests. Two loads of one site need two seeds.
    """

    sites: Sequence[Site]
    rules: Rules
    campaign_id: int
    people: int
    votes: int
    left: int
    rate: float
    prefetch: int
    seed: int = 0
    log: Log = field(default_factory=Log)
    lease: Timing = field(default_factory=Timing)
    vote: Timing = field(default_factory=Timing)
    picture: Timing = field(default_factory=Timing)
    pictures: bool = False
    wrong_pictures: int = 0
    over_leased: int = 0
    in_two_hands: int = 0
    samples: int = 0
    ends: list[float] = field(default_factory=list)

    @property
    def site(self) -> Site:
        """The first server."""
        return self.sites[0]

    def cpu_s(self) -> float:
        """Processor seconds of all servers."""
        return sum(site.cpu_s() for site in self.sites)


async def annotate(drive: Drive, person: Person) -> None:
    """One person: lease once, then vote and get the next one, at their pace."""
    site = drive.sites[person.id % len(drive.sites)]
    browser = Browser(site.settings.port, person.cookie, person.id)
    await browser.sign_in()
    rng = random.Random(f"{drive.seed} {person.id}")
    period_s = drive.people / drive.rate if drive.rate else 0.0
    due = time.perf_counter() + period_s * rng.random()
    images = await _lease(drive, browser, person)
    seen: set[str] = set()  # as the cache of a real browser
    await _fetch(drive, browser, images, seen)
    while images and drive.left > 0:
        drive.left -= 1
        if period_s:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            # Who was held up goes on at the usual pace and does not catch up in a burst.
            due = max(due, time.perf_counter() - period_s) + period_s * rng.uniform(0.5, 1.5)
        images += await _vote(drive, browser, person, images.pop(0)["image_id"], rng)
        images = images or await _lease(drive, browser, person)
        await _fetch(drive, browser, images, seen)
    browser.close()


async def _fetch(drive: Drive, browser: Browser, images: list[Granted], seen: set[str]) -> None:
    """Fetch the pictures that the person does not have yet."""
    for image in images if drive.pictures else ():
        if image["url"] not in seen:
            seen.add(image["url"])
            try:
                content = await browser.get(image["url"], drive.picture)
            except RefusedError as error:
                drive.log.refused.append(str(error))
            else:
                drive.wrong_pictures += content != picture(image["image_id"])


async def _lease(drive: Drive, browser: Browser, person: Person) -> list[Granted]:
    """The next images; asks some more times when there are none: others may let some go."""
    for _ in range(LAST_TRIES):
        answer = await browser.post("/label/leases", {"count": drive.prefetch}, drive.lease)
        images = _granted(drive, person, answer)
        if images:
            return images
        await asyncio.sleep(LAST_PAUSE_S)
    return []


async def _vote(
    drive: Drive, browser: Browser, person: Person, image: int, rng: random.Random
) -> list[Granted]:
    """Answer an image; returns the next ones."""
    truth = LABELS[image * 2_654_435_761 % 2**32 % 3]
    answer = truth if rng.random() < SKILL else rng.choice(LABELS)
    request = str(uuid.UUID(int=rng.getrandbits(128)))
    ballot = image, person.id, answer
    drive.log.sent[request] = ballot
    body = {"image_id": image, "answer": answer, "request_id": request, "elapsed_ms": 900}
    body |= {"campaign_id": drive.campaign_id, "then": 1}  # as the page does
    try:
        reply = await browser.post("/label/votes", body, drive.vote)
    except RefusedError as error:
        drive.log.refused.append(str(error))
        return []
    now = time.perf_counter()
    drive.log.acknowledged[request] = ballot
    drive.log.voted[image, person.id] = now
    drive.ends.append(now)
    return _granted(drive, person, reply)


def _granted(drive: Drive, person: Person, answer: dict[str, Any]) -> list[Granted]:
    now = time.perf_counter()
    images: list[Granted] = answer["images"]
    drive.log.granted.update({(image["image_id"], person.id): now for image in images})
    return images


async def watch(drive: Drive) -> None:
    """Look for images in too many hands, again and again."""
    while True:
        await asyncio.sleep(SAMPLE_S)
        seen = await asyncio.to_thread(
            hands, drive.site.db, drive.campaign_id, drive.rules.votes_needed
        )
        drive.over_leased = max(drive.over_leased, seen[0])
        drive.in_two_hands = max(drive.in_two_hands, seen[1])
        drive.samples += 1
        drive.cpu_s()


async def strike(drive: Drive) -> None:
    """`kill -9` a process of the server after a third of the votes, all after two thirds."""
    while len(drive.ends) < drive.votes / 3:
        await asyncio.sleep(0.05)
    drive.site.kill_worker()
    while len(drive.ends) < 2 * drive.votes / 3:
        await asyncio.sleep(0.05)
    drive.site.kill_all()
    await asyncio.to_thread(drive.site.start)


async def run(drive: Drive, people: list[Person], kill: bool) -> float:
    """All people at once; returns how many seconds passed."""
    beside = [asyncio.create_task(watch(drive))]
    if kill:
        beside.append(asyncio.create_task(strike(drive)))
    started = time.perf_counter()
    await asyncio.gather(*(annotate(drive, person) for person in people))
    seconds = max(drive.ends) - started
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    return seconds


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Prepare, drive, check."""
    rules = Rules.from_dict(RULES[options.rules].as_dict() | {"order": options.order})
    with ExitStack() as opened:
        site = opened.enter_context(new_site(options.database, options.worker))
        with _timed() as preparing:
            folder = site.settings.home / "pictures" if options.pictures else None
            campaign_id = prepare(site.db, options.images, rules, folder)
            people = sign_up(site, options.annotators)
        sites = [site, *(site.twin() for _ in range(options.servers - 1))]
        for one in sites:
            opened.callback(one.stop)
            one.start()
        drive = Drive(
            sites,
            rules,
            campaign_id,
            options.annotators,
            options.votes,
            options.votes,
            options.rate,
            options.prefetch,
            pictures=options.pictures,
        )
        load, before, own = os.getloadavg()[0], drive.cpu_s(), _own_cpu_s()
        seconds = asyncio.run(run(drive, people, options.kill))
        spent, own = drive.cpu_s() - before, _own_cpu_s() - own
        for one in sites:
            one.stop()
        with _timed() as checking:
            checks = audit(site.db, campaign_id, drive.log, options.worker)
        log = "".join(one.log() for one in sites)
    checks["double_leases_seen_by_people"] = double_grants(
        drive.log, rules.votes_needed, site.settings.lease_seconds
    )
    checks["over_leased_in_samples"] = drive.over_leased
    checks["most_images_in_two_hands"] = drive.in_two_hands
    checks["samples"] = drive.samples
    checks["wrong_pictures"] = drive.wrong_pictures
    checks["tracebacks"] = log.count("Traceback")
    votes = len(drive.log.acknowledged)
    return {
        "settings": {**vars(options), "processors": os.cpu_count(), "load_before": round(load, 2)},
        "votes": votes,
        "seconds": round(seconds, 2),
        "votes_per_second": round(votes / seconds, 1),
        "vote_and_next_ms": quantiles(drive.vote),
        "leases_ms": quantiles(drive.lease),
        "pictures_ms": quantiles(drive.picture),
        "server_cpu_ms_per_vote": round(1000 * spent / votes, 2),
        "client_cpu_ms_per_vote": round(1000 * own / votes, 2),
        "preparing_seconds": round(preparing[0], 1),
        "checking_seconds": round(checking[0], 1),
        "checks": checks,
        "sound": is_sound(checks),
    }


def is_sound(checks: dict[str, Any]) -> bool:
    """Whether nothing was lost, doubled, invented or handed out too often."""
    wrong = (
        "lost",
        "changed",
        "doubled",
        "never_sent",
        "persons_twice_on_an_image",
        "consensus_rows_mended_by_rebuild",
        "double_leases_seen_by_people",
        "over_leased_in_samples",
        "refused",
        "wrong_pictures",
    )
    return not any(checks[name] for name in wrong)


def prepare(db: Database, images: int, rules: Rules, folder: Path | None = None) -> int:
    """A data set of so many images, and an active campaign about it.

    Parameters:
        folder: where to write the files; None: there are none.
    """
    if folder is not None:
        write_pictures(folder, images)
    with db.write() as session:
        dataset = Dataset(name="load", path=str(folder or "/nowhere"), attribute_names=[])
        session.add(dataset)
        session.flush()
        dataset_id = dataset.id
        for start in range(0, images, ROWS):
            rows = [_image(dataset_id, n) for n in range(start, min(start + ROWS, images))]
            session.execute(insert(Image), rows)
    campaign_id = create_campaign(db, dataset_id, CampaignPlan("load", rules))
    with db.write() as session:
        activate_campaign(session, campaign_id)
    if not db.is_sqlite:
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")
    return campaign_id


def _image(dataset_id: int, number: int) -> dict[str, Any]:
    width, height = SIZE
    size = {"width": width, "height": height, "byte_size": 8_000}
    return {
        "dataset_id": dataset_id,
        "filename": filename(number),
        "status": "ok",
        "sha256": f"{number:064x}",
        **size,
    }


def quantiles(timing: Timing) -> dict[str, float]:
    """Of the requests answered at the first attempt; how many needed more, and how long."""
    p50, p95, p99, most = np.percentile(timing.ms or [0.0], [50, 95, 99, 100]).round(1).tolist()
    figures = {"n": len(timing.ms), "p50": p50, "p95": p95, "p99": p99, "max": most}
    if timing.retried_ms:
        figures |= {"retried": len(timing.retried_ms), "retried_max": max(timing.retried_ms)}
    return figures


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@contextmanager
def _timed() -> Iterator[list[float]]:
    """A list that holds the seconds of the block afterwards."""
    seconds: list[float] = []
    started = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=202_599)
    parser.add_argument("--annotators", type=int, default=64)
    parser.add_argument("--votes", type=int, default=2_000)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--rules", choices=list(RULES), default="majority")
    parser.add_argument("--order", default="breadth", help="as in the rules of a campaign")
    parser.add_argument("--prefetch", type=int, default=5, help="pictures in a person's hands")
    parser.add_argument(
        "--rate",
        type=float,
        default=0.0,
        help="votes a second of all people;\n"
        "0: each person sends as soon as the last vote is answered",
    )
    parser.add_argument("--pictures", action="store_true", help="fetch the pictures as well")
    parser.add_argument("--servers", type=int, default=1, help="of one database and home")
    parser.add_argument("--worker", action="store_true", help="background jobs run beside it")
    parser.add_argument("--kill", action="store_true", help="kill -9 a process, then the server")
    parser.add_argument("--json", action="store_true", help="write JSON")
    report = measure(parser.parse_args())
    if report["settings"]["json"]:
        print(json.dumps(report, indent=2))
    else:
        for key, value in report.items():
            print(f"{key:>24}: {value}")
    if not report["sound"]:
        raise SystemExit("Votes or leases are not sound; see the checks.")


if __name__ == "__main__":
    main()
