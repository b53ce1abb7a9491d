#!/usr/bin/env python3
"""Time managing at the size of CelebA: selecting, filling, deciding, gold.

The rows have no files and lie in SQLite in a temporary folder. Each step is timed once, in wall and
processor seconds, through the services that pages and commands call.

Example:
    python benchmarks/managing_speed.py --images 202599 --gold 1000
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from typing import Any

import _project  # noqa: F401
import click
from sqlalchemy import insert, update

from labeler.adjudication import service as adjudication
from labeler.campaigns import image_selection
from labeler.campaigns import service as campaigns
from labeler.csv_input import GoldLine
from labeler.database.engine import Database
from labeler.database.migrate import upgrade
from labeler.gold import service as gold_service
from labeler.models.accounts import Annotator
from labeler.models.consensus import Consensus
from labeler.models.images import Dataset, Image
from labeler.rules.image_selection_spec import ImageSelection


class Clock:
    """Times steps: seconds of wall and of CPU, by name."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.seconds: dict[str, tuple[float, float]] = {}

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        self.seconds[name] = (time.perf_counter() - wall, time.process_time() - cpu)
        return result

    def read(self, name: str, work: Callable[[Any], Any]) -> Any:
        def reading() -> Any:
            with self.db.read() as session:
                return work(session)

        return self.step(name, reading)

    def write(self, name: str, work: Callable[[Any], Any]) -> Any:
        def writing() -> Any:
            with self.db.write() as session:
                return work(session)

        return self.step(name, writing)


def fill_tables(db: Database, images: int) -> tuple[int, int]:
    """A data set and a supervisor; returns their numbers."""
    with db.write() as session:
        dataset = Dataset(name="celeba", path="-", attribute_names=[f"A{i}" for i in range(40)])
        boss = Annotator(username="boss", pseudonym="boss", password_hash="!", role="supervisor")
        session.add_all([dataset, boss])
        session.flush()
        rows = [
            {
                "dataset_id": dataset.id,
                "filename": f"{i:06d}.jpg",
                "status": "ok",
                "byte_size": 1,
                "sha256": "0" * 64,
                "width": 178,
                "height": 218,
                "partition": i % 3,
                "attribute_bits": i * 2_654_435_761 % 2**40,
            }
            for i in range(1, images + 1)
        ]
        session.execute(insert(Image), rows)
        return dataset.id, boss.id


def spread_states(db: Database, campaign_id: int, images: int) -> None:
    """A tenth contested, half agreed by three without dissent."""
    mine = Consensus.campaign_id == campaign_id
    contested = {"status": "contested", "votes_left": 3, "votes_right": 3}
    agreed = {"status": "agreed", "label": "left", "probability": 1.0, "votes_left": 3}
    with db.write() as session:
        tenth, most = images // 10, images * 6 // 10
        session.execute(update(Consensus).where(mine, Consensus.image_id <= tenth), contested)
        middle = Consensus.image_id.between(tenth + 1, most)
        session.execute(update(Consensus).where(mine, middle), agreed)


def measure(db: Database, images: int, gold: int) -> dict[str, tuple[float, float]]:
    """All steps; returns seconds of wall and CPU."""
    dataset_id, boss = fill_tables(db, images)
    clock = Clock(db)
    some = ImageSelection(attributes={"A1": True, "A7": False})
    listed = ImageSelection(filenames=tuple(f"{i:06d}.jpg" for i in range(1, images + 1)))
    for name, chosen in (("count by attributes", some), ("count by a list of all", listed)):
        clock.read(
            name,
            lambda s, c=chosen: image_selection.count_selected(s, s.get(Dataset, dataset_id), c),
        )
    plan = campaigns.CampaignPlan("all")
    made = clock.step("fill with all", lambda: campaigns.create_campaign(db, dataset_id, plan))
    spread_states(db, made, images)
    clock.read("list campaigns", campaigns.count_images)
    image_id = clock.read("next contested", lambda s: adjudication.next_contested(s, made))
    clock.read("load a case", lambda s: adjudication.load_case(s, made, image_id))
    submitted = adjudication.SubmittedDecision("left")
    clock.write("decide", lambda s: adjudication.decide(s, made, image_id, boss, submitted))
    clock.write("promote 300", lambda s: gold_service.promote_unanimous(s, made, 3, 300))
    lines = [GoldLine(i, f"{images - i:06d}.jpg", "left", "") for i in range(gold)]
    clock.write(f"import {gold} gold", lambda s: gold_service.import_gold(s, made, lines))
    return clock.seconds


@click.command(epilog="Example: python benchmarks/managing_speed.py --images 202599 --gold 1000")
@click.option("--images", default=202_599, show_default=True)
@click.option("--gold", default=1_000, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(images: int, gold: int, as_json: bool) -> None:
    """Time each step once."""
    with tempfile.TemporaryDirectory() as folder:
        db = Database(f"sqlite:///{folder}/managing.sqlite3")
        upgrade(db)
        seconds = measure(db, images, gold)
        db.dispose()
    if as_json:
        print(json.dumps({name: {"wall_s": w, "cpu_s": c} for name, (w, c) in seconds.items()}))
        return
    for name, (wall, cpu) in seconds.items():
        print(f"{name:28} {wall:8.3f} s wall {cpu:8.3f} s CPU")


if __name__ == "__main__":
    main()
