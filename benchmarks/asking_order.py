#!/usr/bin/env python3
"""Compare the orders `random` and `uncertain` of the queue by what they teach the classifier.

The data set is Extended Yale B. The campaign holds the images of subjects 1-10 whose lamp is left,
center or right. One simulated person, who is always right, answers the images that the site
assigns. After each stage a model run is made as the worker does. Its proposals for subjects 11-20
are compared with the true lamps. Their images are among the unlabelled ones, as on any site.

Also reported: how many images `export --precision 95%` would label, and the share of right labels
among them. The site draws random keys itself, so results differ a little between runs.

Example:
    python benchmarks/asking_order.py $YALEB --draws 5 --json
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from _site import Site, new_site
from sqlalchemy import insert, select

from labeler.assignment.leases import lease_images
from labeler.campaigns.service import CampaignPlan, activate_campaign, create_campaign
from labeler.errors import Conflict
from labeler.models.accounts import Annotator
from labeler.models.images import Dataset, Image
from labeler.models.proposals import Proposal
from labeler.proposals.feature_cache import FeatureCache
from labeler.proposals.service import train_and_propose
from labeler.quality.refresh import refresh_dataset
from labeler.rules.campaign_rules import Rules
from labeler.rules.image_selection_spec import ImageSelection
from labeler.voting.service import SubmittedAnswer, cast_vote
from rotation.data.labels import LABELS
from rotation.data.sources import open_source

NAME = re.compile(r"yaleB(\d\d)_P00A([+-]\d{3})E[+-]\d\d\.pgm$")
LAST_TRAINING_SUBJECT = 10
STAGES = (15, 30, 60, 120)
ORDERS = ("random", "uncertain")


def read_truth(path: str) -> dict[str, tuple[int, str | None]]:
    """Subject and label by name; None at the boundary."""
    with open_source(path) as source:
        names = list(source.names())
    found: dict[str, tuple[int, str | None]] = {}
    for name in names:
        match = NAME.search(name)
        if match:
            azimuth = int(match[2])
            side = "left" if azimuth >= 35 else "right" if azimuth <= -35 else None
            found[name] = int(match[1]), "center" if abs(azimuth) <= 10 else side
    return found


def prepare(site: Site, path: str, truth: dict[str, tuple[int, str | None]], order: str) -> int:
    """The data set and the campaign of subjects 1-10, which is active; one person."""
    with site.db.write() as session:
        dataset = Dataset(name="yale", path=path, attribute_names=[])
        session.add_all([dataset, Annotator(username="a", pseudonym="A", password_hash="!")])
        session.flush()
        rows = [
            {
                "dataset_id": dataset.id,
                "filename": name,
                "status": "ok",
                "width": 168,
                "height": 192,
                "byte_size": 1,
                "sha256": "0" * 64,
                "identity": subject,
            }
            for name, (subject, _) in truth.items()
        ]
        session.execute(insert(Image), rows)
    labelled = [n for n, (s, label) in truth.items() if label and s <= LAST_TRAINING_SUBJECT]
    rules = Rules(order=order, gold_rate=0.0, gold_first=0)
    plan = CampaignPlan("yale", rules, ImageSelection(filenames=tuple(labelled)))
    campaign_id = create_campaign(site.db, dataset.id, plan)
    with site.db.write() as session:
        activate_campaign(session, campaign_id)
    return campaign_id


def answer(site: Site, truth: dict[int, str | None]) -> None:
    """The person answers the next image."""
    with site.db.write() as session:
        (leased,) = lease_images(session, 1, 1, settings=site.settings)
        label = truth[leased.image_id] or ""
        ballot = SubmittedAnswer(leased.image_id, label, str(uuid.uuid4()))
        cast_vote(session, 1, ballot, settings=site.settings)


def judge(
    site: Site, run_id: int, truth: dict[int, str], threshold: float | None
) -> dict[str, float | None]:
    with site.db.read() as session:
        rows = session.execute(
            select(Proposal.image_id, Proposal.p_left, Proposal.p_center, Proposal.p_right).where(
                Proposal.model_run_id == run_id, Proposal.image_id.in_(list(truth))
            )
        ).all()
    chances = np.array([row[1:] for row in rows])
    labels = np.array([LABELS.index(truth[row.image_id]) for row in rows])
    right = chances.argmax(axis=1) == labels
    sure = chances.max(axis=1) >= (2.0 if threshold is None else threshold)
    return {
        "accuracy": float(right.mean()),
        "precision": float(right[sure].mean()) if sure.any() else None,
        "coverage": float(sure.mean()),
    }


def one_draw(path: str, truth: dict[str, Any], order: str, cache: FeatureCache) -> dict[int, Any]:
    with new_site() as site:
        campaign_id = prepare(site, path, truth, order)
        with site.db.read() as session:
            ids = dict(session.execute(select(Image.filename, Image.id)).all())
        labels = {ids[name]: label for name, (_, label) in truth.items()}
        tested = {
            ids[name]: label
            for name, (subject, label) in truth.items()
            if label and subject > LAST_TRAINING_SUBJECT
        }
        found, votes = {}, 0
        for stage in STAGES:
            for _ in range(stage - votes):
                answer(site, labels)
            votes = stage
            try:
                result = train_and_propose(site.db, campaign_id, processes=1, cache=cache)
            except Conflict:  # one label only
                continue
            refresh_dataset(site.db, 1)
            threshold = result.metrics["thresholds"].get("0.95")
            found[stage] = judge(site, result.run_id, tested, threshold)
    return found


def summarise(draws: list[dict[int, Any]]) -> dict[int, dict[str, Any]]:
    summary = {}
    for stage in STAGES:
        there = [draw[stage] for draw in draws if stage in draw]
        accuracy = [one["accuracy"] for one in there]
        kept = [one["precision"] for one in there if one["precision"] is not None]
        summary[stage] = {
            "draws": len(there),
            "accuracy": round(statistics.fmean(accuracy), 4),
            "sd": round(statistics.pstdev(accuracy), 4),
            "worst": round(min(accuracy), 4),
            "promised 95 %": len(kept),
            "precision kept": round(statistics.fmean(kept), 4) if kept else None,
            "worst precision": round(min(kept), 4) if kept else None,
            "coverage": round(statistics.fmean(one["coverage"] for one in there), 3),
        }
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("yaleb", help="the zip or folder of Extended Yale B")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--features", type=Path, default=Path("build/asking_order.sqlite3"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    path, cache = str(Path(arguments.yaleb).resolve()), FeatureCache(arguments.features.resolve())
    truth = read_truth(path)
    found: dict[str, Any] = {}
    for order in ORDERS:
        draws = [one_draw(path, truth, order, cache) for _ in range(arguments.draws)]
        found[order] = summarise(draws)
        found[f"{order}, each"] = draws
    print(json.dumps(found, indent=2 if arguments.json else None))


if __name__ == "__main__":
    main()
