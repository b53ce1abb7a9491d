#!/usr/bin/env python3
"""Time a model run of the site: first features, first run, warm run; memory and sizes.

The images come from a folder or zip. They are repeated up to --images times with another comment in
each JPEG, so every file is new and is decoded. Votes are simulated: left and right follow the
rendered prior's opinion of the image, with one error in ten.

Steps: the features of all images without a cache; a run after --votes votes; a run after a fifth
more votes, with all features cached; the consensus of all images derived from the new proposals.
Times are wall seconds and processor seconds, including the processes of the pool.

Examples:
    python benchmarks/proposing_speed.py $CELEBA --json
    python benchmarks/proposing_speed.py $CELEBA --images 202599 --votes 20000
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _site import new_site
from sqlalchemy import insert, select

from labeler.campaigns.service import activate_campaign, ensure_campaign, fill_campaign
from labeler.consensus.store import recount
from labeler.database.engine import Database
from labeler.light_classifier.face_features import N_ODD, RENDERED_SCALE
from labeler.models.accounts import Annotator
from labeler.models.images import Dataset, Image
from labeler.models.proposals import ModelRun
from labeler.models.voting import Vote
from labeler.proposals.feature_cache import FeatureCache
from labeler.proposals.feature_extraction import extract_features
from labeler.proposals.service import train_and_propose
from labeler.quality.refresh import refresh_dataset
from labeler.rules.campaign_rules import Rules
from rotation.data.labels import LABELS
from rotation.data.sources import open_source

PEOPLE = 30
BORDER = 0.5  # standard deviations of the rendered heads' opinion
ERRORS = 0.1
ROWS = 5_000


def repeat_images(path: str, count: int, folder: Path) -> str:
    """A zip of `count` images of another content each; the path itself where that is enough."""
    with open_source(path) as source:
        names = list(source.names())
        if count <= len(names):
            return path
        target = folder / "faces.zip"
        with zipfile.ZipFile(target, "w") as archive:
            for number in range(count):
                data = source.read(names[number % len(names)])
                comment = f"{number:012d}".encode()
                marker = b"\xff\xfe" + (len(comment) + 2).to_bytes(2)
                archive.writestr(f"{number:06d}.jpg", data[:2] + marker + comment + data[2:])
    return str(target)


def fill(db: Database, path: str, names: list[str]) -> tuple[int, int]:
    """The images as rows that are known to decode, a campaign, people."""
    with db.write() as session:
        dataset = Dataset(name="faces", path=path, attribute_names=[])
        session.add(dataset)
        session.flush()
        session.add_all(
            Annotator(username=f"p{n}", pseudonym=f"P{n}", password_hash="!") for n in range(PEOPLE)
        )
        rows = [
            {
                "dataset_id": dataset.id,
                "filename": name,
                "status": "ok",
                "width": 89,
                "height": 109,
                "byte_size": 1,
                "sha256": "0" * 64,
            }
            for name in names
        ]
        for start in range(0, len(rows), ROWS):
            session.execute(insert(Image), rows[start : start + ROWS])
        campaign = activate_campaign(session, ensure_campaign(session, dataset).id)
        campaign.rules = Rules(order="uncertain").as_dict()
    fill_campaign(db, campaign.id)
    return dataset.id, campaign.id


def cast(db: Database, campaign_id: int, names: list[str], side: np.ndarray, votes: range) -> None:
    """One vote each on images drawn at random, those of `votes` in that order."""
    rng = np.random.default_rng(5)
    order, errs = rng.permutation(len(names)), rng.random(len(names)) < ERRORS
    wrong = rng.integers(0, 3, len(names))
    truth = np.where(side > BORDER, 0, np.where(side < -BORDER, 2, 1))
    with db.read() as session:
        ids = dict(session.execute(select(Image.filename, Image.id)).all())
    rows = []
    for number in votes:
        image = order[number % len(names)]
        answer = wrong[image] if errs[image] else truth[image]
        rows.append(
            {
                "campaign_id": campaign_id,
                "image_id": ids[names[image]],
                "answer": LABELS[answer],
                "annotator_id": 1 + number % PEOPLE,
                "blind": False,
                "request_id": str(uuid.uuid4()),
            }
        )
    for start in range(0, len(rows), ROWS):
        with db.write() as session:
            session.execute(insert(Vote), rows[start : start + ROWS])
            recount(session, campaign_id, [row["image_id"] for row in rows[start : start + ROWS]])


def cpu_s() -> float:
    """Processor seconds of this process and of those that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    wall, cpu = time.perf_counter(), cpu_s()
    result = work()
    spent = {"wall_s": time.perf_counter() - wall, "cpu_s": cpu_s() - cpu}
    return result, {name: round(value, 2) for name, value in spent.items()}


def peak_mib() -> dict[str, float]:
    return {
        name: round(resource.getrusage(who).ru_maxrss / 1024)
        for name, who in (("here", resource.RUSAGE_SELF), ("a process", resource.RUSAGE_CHILDREN))
    }


def measure(db: Database, home: Path, path: str, count: int, votes: int) -> dict[str, Any]:
    path = repeat_images(path, count, home)
    with open_source(path) as source:
        names = list(source.names())[:count]
    cache = FeatureCache(home / "features.sqlite3")
    chunks, first = timed(lambda: list(extract_features(path, names, cache=cache)))
    side = np.concatenate([chunk.features[:, N_ODD - 1] for chunk in chunks]) / RENDERED_SCALE
    first["images_per_s"] = round(len(names) / first["wall_s"])
    dataset_id, campaign_id = fill(db, path, names)
    found = {"images": len(names), "load": os.getloadavg()[0], "features": first}
    for name, drawn in (("first_run", range(votes)), ("warm_run", range(votes, votes * 6 // 5))):
        cast(db, campaign_id, names, side, drawn)
        result, found[name] = timed(lambda: train_and_propose(db, campaign_id, cache=cache))
        found[name] |= {
            key: result.metrics[key]
            for key in ("n_training", "n_measured", "training_seconds", "proposing_seconds")
        }
        _, found[f"consensus_after_{name}"] = timed(lambda: refresh_dataset(db, dataset_id))
    with db.read() as session:
        model = session.scalars(select(ModelRun.model).order_by(ModelRun.id.desc())).first() or b""
    found |= {
        "peak_mib": peak_mib(),
        "model_bytes": len(model),
        "features_mib": round(cache.path.stat().st_size / 2**20, 1),
        "load_after": os.getloadavg()[0],
    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images_path", metavar="PATH", help="folder or zip of images")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--votes", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with new_site() as site, tempfile.TemporaryDirectory() as folder:
        found = measure(
            site.db, Path(folder), arguments.images_path, arguments.images, arguments.votes
        )
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
