#!/usr/bin/env python3
"""Measure the processor time of a vote inside the application, without server or client.

With `--applications 2`, two copies answer in turn, each with its own connection, as two processes
of the site would. The difference is the cost for SQLite to read again what another connection has
written. Figures are for blocks of 100 votes, the quickest and the median. Other work on the machine
can only make a block slower. `--calls` counts the calls of functions a vote instead, which no other
work changes. `--pictures` measures fetching the picture of an image in place of voting.

Example:
    python benchmarks/vote_cost.py --votes 3000
    python benchmarks/vote_cost.py --votes 600 --images 2000 --calls
    python benchmarks/vote_cost.py --votes 3000 --images 2000 --pictures
    strace -f -c -e trace=pread64 python benchmarks/vote_cost.py --votes 1500 --applications 2
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import statistics
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from _site import Person, new_site, sign_up
from flask import Flask
from load import RULES, prepare
from werkzeug.test import EnvironBuilder

from labeler.app import create_app

PEOPLE, IN_HAND, BLOCK = 8, 5, 100


Act = Callable[[list[Flask], list["Hands"], int, int], list[float]]
"""Does something so many times, with a seed; returns the processor seconds of each time."""


@dataclass
class Hands:
    """What a signed-in person sends with each request, the images that they hold, and pictures."""

    headers: dict[str, str]
    images: list[int]
    addresses: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--votes", type=int, default=3_000)
    parser.add_argument("--applications", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--calls", action="store_true", help="count calls of functions")
    parser.add_argument("--pictures", action="store_true", help="fetch pictures in place of voting")
    options = parser.parse_args()
    what, act = ("picture", fetch_pictures) if options.pictures else ("vote", cast_votes)
    with new_site(options.database) as site:
        folder = site.settings.home / "pictures" if options.pictures else None
        prepare(site.db, options.images, RULES["majority"], folder)
        people = sign_up(site, PEOPLE)
        apps = [create_app(site.settings) for _ in range(options.applications)]
        hands = [take_up(apps[0], person) for person in people]
        if options.calls:
            print(
                f"calls of functions a {what}: {count_calls(act, apps, hands, options.votes):.0f}"
            )
        seconds = [] if options.calls else act(apps, hands, options.votes, 1)
        for app in apps:
            app.extensions["sidelight_db"].dispose()
    if options.calls:
        return
    later = seconds[2 * BLOCK :] or seconds  # the first ones build statements
    blocks = [
        1000 * statistics.fmean(later[n : n + BLOCK]) for n in range(0, len(later) - 1, BLOCK)
    ]
    quickest, median = round(min(blocks), 2), round(statistics.median(blocks), 2)
    print(f"processor time a {what}, ms: quickest block {quickest}, median {median}")


def take_up(app: Flask, person: Person) -> Hands:
    """Fetch the CSRF token and the first images."""
    headers = {"Cookie": person.cookie, "X-Annotator": str(person.id), "Accept": "application/json"}
    client = app.test_client(use_cookies=False)
    state = client.get("/label/state", headers=headers)
    headers["Cookie"] = state.headers["Set-Cookie"].split(";")[0]
    headers["X-CSRFToken"] = state.get_json()["csrf_token"]
    leased = client.post("/label/leases", json={"count": IN_HAND}, headers=headers).get_json()
    images = leased["images"]
    return Hands(
        headers, [image["image_id"] for image in images], [image["url"] for image in images]
    )


def count_calls(act: Act, apps: list[Flask], people: list[Hands], times: int) -> float:
    """Count the calls a vote or picture, of functions in Python and in C; the first ones not."""
    act(apps, people, 2 * BLOCK, 1)
    profile = cProfile.Profile()
    profile.runcall(act, apps, people, times, 2)
    return pstats.Stats(profile).total_calls / times


def fetch_pictures(
    apps: list[Flask], people: list[Hands], times: int, _seed: int = 1
) -> list[float]:
    """Fetch the pictures in the hands of all people, again and again."""
    seconds = []
    for number in range(times):
        hands = people[number % len(people)]
        address = hands.addresses[number // len(people) % len(hands.addresses)]
        environ = EnvironBuilder(path=address, headers=hands.headers).get_environ()
        started = time.process_time()
        answer: Iterable[bytes] = apps[number % len(apps)].wsgi_app(environ, _expect_found)
        b"".join(answer)
        seconds.append(time.process_time() - started)
    return seconds


def cast_votes(apps: list[Flask], people: list[Hands], votes: int, seed: int = 1) -> list[float]:
    """Vote and get the next image, person after person, application after application."""
    rng, seconds = random.Random(seed), []
    for number in range(votes):
        hands = people[number % len(people)]
        environ = _request(hands, rng)
        started = time.process_time()
        answer: Iterable[bytes] = apps[number % len(apps)].wsgi_app(environ, _expect_created)
        body = b"".join(answer)
        seconds.append(time.process_time() - started)
        hands.images += [image["image_id"] for image in json.loads(body)["images"]]
    return seconds


def _request(hands: Hands, rng: random.Random) -> Any:
    request_id = str(uuid.UUID(int=rng.getrandbits(128)))
    ballot = {"image_id": hands.images.pop(0), "answer": "left", "request_id": request_id}
    return EnvironBuilder(
        path="/label/votes", method="POST", headers=hands.headers, json={**ballot, "then": 1}
    ).get_environ()


def _expect_found(status: str, _headers: Any, _error: Any = None) -> Any:
    if not status.startswith("200"):
        raise SystemExit(f"A request of a picture was answered with {status}.")


def _expect_created(status: str, _headers: Any, _error: Any = None) -> Any:
    if not status.startswith("201"):
        raise SystemExit(f"A vote was answered with {status}.")


if __name__ == "__main__":
    main()
