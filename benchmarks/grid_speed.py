#!/usr/bin/env python3
"""Compare images per minute on the verification grid and on the single page, in Chromium.

A script plays the person. It does not look: labels are drawn at random, and the model is right on
nine of ten. Thinking is waiting. A single image takes `--single` seconds from its appearance to the
key. On the grid, each image takes `--glance` seconds, a correction `--correction` seconds and its
clicks, and each page `--page` seconds. These times are assumed, not measured on people. The
benchmark measures the time of site and browser, and the key presses that a page needs if it does
not fit the window.

Examples:
    python benchmarks/grid_speed.py --json
    python benchmarks/grid_speed.py --open 202599 --json
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from _site import Person, Site, new_site, sign_up
from PIL import Image as Pillow
from playwright.sync_api import Browser, Page, Response, sync_playwright
from sqlalchemy import insert, select, update

from labeler.campaigns.service import admit_images
from labeler.consensus.store import batches, rebuild
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.proposals import ModelRun, Proposal
from labeler.rules.campaign_rules import Rules

SIZE = (178, 218)  # CelebA's
WINDOW = {"width": 1280, "height": 800}
RIGHT = 0.9
WRONG = ("center", "right", "unsure")  # in the order of the clicks
STEP = 5_000


@dataclass
class Clock:
    """What a person did: pictures answered, seconds thought, seconds in all, answers' times."""

    pictures: int = 0
    thought_s: float = 0.0
    all_s: float = 0.0
    server_ms: dict[str, list[float]] = field(default_factory=dict)

    def think(self, seconds: float) -> None:
        self.thought_s += seconds
        time.sleep(seconds)

    def note(self, answer: Response) -> None:
        """How long the server took from the request to the first byte of its answer."""
        if answer.request.resource_type not in ("document", "fetch"):
            return
        timing = answer.request.timing
        name = f"{answer.request.method} {answer.url.split('/', 3)[3].partition('?')[0]}"
        waited = timing["responseStart"] - timing["requestStart"]
        self.server_ms.setdefault(name, []).append(waited)

    def report(self) -> dict[str, Any]:
        return {
            "pictures": self.pictures,
            "per_minute": round(60 * self.pictures / self.all_s, 1),
            "thinking_s": round(self.thought_s, 1),
            "waiting_share": round(1 - self.thought_s / self.all_s, 3),
            "server_ms": {
                name: {
                    "n": len(times),
                    "median": round(statistics.median(times), 1),
                    "worst": round(max(times), 1),
                }
                for name, times in sorted(self.server_ms.items())
            },
        }


def prepare(site: Site, shown: int, total: int) -> dict[int, str]:
    """`shown` pictures that the model calls left, of `total` open ones; the labels by image."""
    folder = site.settings.home / "faces"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(shown):
        ramp = np.linspace(rng.uniform(60, 250), rng.uniform(60, 250), SIZE[0])
        noise = rng.normal(0, 6, (SIZE[1], SIZE[0]))
        pixels = np.clip(ramp[None, :] + noise, 0, 255).astype(np.uint8)
        Pillow.fromarray(pixels).convert("RGB").save(folder / f"{number:06d}.jpg", quality=90)
    dataset_id = register_dataset(site.db, folder).dataset_id
    check_images(site.db, dataset_id, processes=1)
    with site.db.write() as session:
        rules = Rules(proposals="shown", required_votes=2, gold_rate=0.0)
        session.execute(update(Campaign).values(rules=rules.as_dict()))
        ids = list(session.scalars(select(Image.id)))
    _add_rest(site, dataset_id, total - shown)
    _propose(site, dataset_id, set(ids))
    lots = random.Random(2)
    return {image_id: "left" if lots.random() < RIGHT else lots.choice(WRONG) for image_id in ids}


def _add_rest(site: Site, dataset_id: int, count: int) -> None:
    """Images without files: the model is surer of them, so that nobody comes to see them."""
    for start in range(0, count, STEP):
        with site.db.write() as session:
            rows = [
                {
                    "dataset_id": dataset_id,
                    "filename": f"rest-{number}.jpg",
                    "status": "ok",
                    "byte_size": 1,
                    "width": SIZE[0],
                    "height": SIZE[1],
                    "sha256": f"{number:064d}",
                }
                for number in range(start, min(start + STEP, count))
            ]
            ids = session.scalars(insert(Image).returning(Image.id), rows).all()
            admit_images(session, dataset_id, ids)


def _propose(site: Site, dataset_id: int, shown: set[int]) -> None:
    lots = random.Random(3)
    with site.db.write() as session:
        run = ModelRun(dataset_id=dataset_id, method="none", settings={}, metrics={})
        session.add(run)
        session.flush()
        rows = []
        for image_id in session.scalars(select(Image.id)):
            low, high = (0.4, 0.7) if image_id in shown else (0.7, 0.94)
            p = lots.uniform(low, high)
            rest = (1 - p) / 2
            rows.append(
                {
                    "model_run_id": run.id,
                    "image_id": image_id,
                    "p_left": p,
                    "p_center": rest,
                    "p_right": rest,
                }
            )
        session.execute(insert(Proposal), rows)
        run.status, run.published_at = "published", utc_now()
    with site.db.read() as session:
        parts = batches(session, 1)
    for part in parts:
        with site.db.write() as session:
            rebuild(session, 1, batch=part)
    with site.db.write() as session:  # nor does the single page hand them out
        rest = Consensus.image_id > max(shown)
        session.execute(update(Consensus).where(rest).values(priority=Consensus.priority + 1))


def open_page(browser: Browser, site: Site, person: Person, clock: Clock) -> Page:
    """A window that is signed in."""
    context = browser.new_context(base_url=site.settings.address, viewport=WINDOW)
    name, _, value = person.cookie.partition("=")
    context.add_cookies([{"name": name, "value": value, "url": site.settings.address}])
    page = context.new_page()
    page.on("response", clock.note)
    return page


def label_singly(page: Page, clock: Clock, pictures: int, single_s: float) -> None:
    """Answer so many pictures one by one."""
    page.goto("/label")
    page.wait_for_selector("#stage img")
    page.wait_for_load_state("networkidle")
    begin = time.monotonic()
    for _ in range(pictures):
        shown = page.locator("#stage img").get_attribute("src")
        clock.think(single_s)
        page.keyboard.press("ArrowLeft")
        page.wait_for_function(
            "src => document.querySelector('#stage img')?.getAttribute('src') !== src "
            "&& document.querySelector('#stage img')",
            arg=shown,
            polling="raf",
        )
        clock.pictures += 1
    clock.all_s += time.monotonic() - begin


def label_grid(
    page: Page,
    clock: Clock,
    truth: dict[int, str],
    size: int,
    pages: int,
    options: argparse.Namespace,
) -> None:
    """Confirm so many pages, marking the wrong ones by mouse."""
    page.goto(f"/grid?label=left&source=model&size={size}")
    page.wait_for_load_state("networkidle")
    begin = time.monotonic()
    for _ in range(pages):
        page.wait_for_selector("button.tile")
        names = page.locator("#tiles select").evaluate_all("all => all.map(one => one.name)")
        clock.think(options.page + options.glance * len(names))
        for at, name in enumerate(names):
            answer = truth[int(name.removeprefix("answer-"))]
            if answer != "left":
                clock.think(options.correction)
                tile = page.locator("button.tile").nth(at)
                for _ in range(1 + WRONG.index(answer)):
                    tile.click()
        batch = page.locator("#grid input[name=batch]").input_value()
        while page.locator("#grid input[name=batch]").input_value() == batch:
            page.keyboard.press("Enter")
            page.wait_for_timeout(100)
            page.wait_for_load_state("load")
        clock.pictures += len(names)
    clock.all_s += time.monotonic() - begin


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure each method of labelling, each with its own person."""
    sizes = (24, 36, 60)
    shown = options.pictures * (len(sizes) + 1) + 300
    with new_site() as site, sync_playwright() as playwright:
        truth = prepare(site, shown, max(shown, options.open))
        people = sign_up(site, len(sizes) + 1)
        site.start()
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        clocks = {"single": Clock()}
        label_singly(
            open_page(browser, site, people[0], clocks["single"]),
            clocks["single"],
            options.pictures,
            options.single,
        )
        for size, person in zip(sizes, people[1:], strict=True):
            clock = clocks[f"grid_{size}"] = Clock()
            page = open_page(browser, site, person, clock)
            label_grid(page, clock, truth, size, -(-options.pictures // size), options)
        browser.close()
    return {
        "model": {
            name: getattr(options, name) for name in ("single", "glance", "correction", "page")
        }
        | {"called_rightly": RIGHT},
        "open_images": max(shown, options.open),
        **{name: clock.report() for name, clock in clocks.items()},
    }


def main() -> None:
    """Parse the arguments, measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pictures", type=int, default=120, help="least number of images per method"
    )
    parser.add_argument("--open", type=int, default=0, help="open images in all, at least")
    parser.add_argument("--single", type=float, default=0.9, metavar="SECONDS")
    parser.add_argument("--glance", type=float, default=0.25, metavar="SECONDS")
    parser.add_argument("--correction", type=float, default=0.6, metavar="SECONDS")
    parser.add_argument("--page", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--json", action="store_true", help="print figures only")
    options = parser.parse_args()
    result = measure(options)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name in ("single", "grid_24", "grid_36", "grid_60"):
        figures = result[name]
        print(
            f"{name:8} {figures['per_minute']:6.1f} pictures a minute, "
            f"{figures['waiting_share']:.0%} of the time not thinking"
        )


if __name__ == "__main__":
    main()
