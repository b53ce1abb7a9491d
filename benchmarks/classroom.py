#!/usr/bin/env python3
"""Simulate a class of 40 people who label Extended Yale B, whose lamps are known, on the real site.

`_simulated_class.py` describes the people and their errors. They answer one after another in random
order, over HTTP, while the worker of the site runs. Every 100 votes they wait for the refresh. With
--offline, the class calls the services in this process. The rules are the same, without HTTP.

Scenarios:
  majority      five votes an image, decided by majority
  same_votes    the same votes, decided by the posterior
  adaptive      adaptive stopping rule without the classifier
  classifier    adaptive stopping rule with the classifier, trained during labelling
  outweighed    as `classifier`; a label may win by probability, without enough votes that name it
  anchored_*    people copy proposals of 75 % accuracy with a known probability
  mirrored      as `adaptive`, with images mirrored at random

Set YALEB to the zip file of Extended Yale B, or give --faces.

Examples:
    python benchmarks/classroom.py --faces $YALEB --json
    python benchmarks/classroom.py --faces $YALEB --offline --seeds 5 --json
    python benchmarks/classroom.py --faces $YALEB --only adaptive --threshold 0.97
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from _annotator_clients import AnnotatorClient, HttpClient, ServiceClient, ShownImage
from _class_results import anchoring, count_missed, flagged, outcome, over_seeds, sides
from _simulated_class import KINDS, Face, SimulatedPerson, make_class, read_faces
from _site import Site, new_site, sign_up
from sqlalchemy import insert, select

from labeler.campaigns.service import (
    CampaignPlan,
    activate_campaign,
    create_campaign,
    edit_campaign,
)
from labeler.gold.service import NewGold, add_gold
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.models.images import Image
from labeler.models.proposals import Proposal
from labeler.proposals.runs import publish_run, start_run
from labeler.quality.refresh import refresh_campaign
from labeler.rules.campaign_rules import Rules
from labeler.rules.image_selection_spec import ImageSelection
from rotation.data.labels import LABELS

EVERY = 100  # votes after which the refresh is waited for
ADAPTIVE = Rules(use_model=False, proposals="hidden", audit_share=0.0)
MODEL_SKILL = 0.75  # of the proposals of the scenario `anchored`


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a class does. `propose_at`: after so many votes a model is trained.

    `gold`: images whose answer is known; `copy_rate` of everybody.
    """

    rules: Rules
    gold: int = 60
    refresh: bool = True
    propose_at: tuple[int, ...] = ()
    copy_rate: float = 0.0
    has_fake_model: bool = False


SCENARIOS = {
    "majority": Scenario(
        Rules(method="majority", required_votes=5, proposals="hidden", gold_rate=0.0),
        gold=0,
        refresh=False,
    ),
    "adaptive": Scenario(ADAPTIVE),
    "classifier": Scenario(
        replace(ADAPTIVE, use_model=True, proposals="mixed"),
        propose_at=(60, 120, 240, 480, 960, 1200, 1440),
        copy_rate=0.1,
    ),
    "outweighed": Scenario(
        replace(ADAPTIVE, use_model=True, named=False, proposals="mixed"),
        propose_at=(60, 120, 240, 480, 960, 1200, 1440),
        copy_rate=0.1,
    ),
    "anchored_0": Scenario(replace(ADAPTIVE, proposals="mixed"), has_fake_model=True),
    "anchored_30": Scenario(
        replace(ADAPTIVE, proposals="mixed"), has_fake_model=True, copy_rate=0.3
    ),
    "anchored_60": Scenario(
        replace(ADAPTIVE, proposals="mixed"), has_fake_model=True, copy_rate=0.6
    ),
    "mirrored": Scenario(replace(ADAPTIVE, mirror_views=True)),
}


@dataclass
class Class:
    """The people, the faces by image, and where they work."""

    site: Site
    campaign_id: int
    faces: dict[int, Face]
    people: dict[int, SimulatedPerson]
    client: AnnotatorClient
    rng: random.Random
    prefetch: int

    def label_all(self, propose_at: Sequence[int]) -> int:
        """Vote until nobody gets an image any more; returns how many votes were cast."""
        hands: dict[int, list[ShownImage]] = {number: [] for number in self.people}
        active, votes = list(self.people), 0
        while active:
            person = self.rng.choice(active)
            hands[person] = hands[person] or self.client.lease(person, self.prefetch)
            if not hands[person]:
                active.remove(person)
                if not active:
                    active = self._who_gets_more(hands)
                continue
            hands[person] += self._answer(person, hands[person].pop(0))
            votes += 1
            if votes % EVERY == 0:
                self.client.settle()
            if votes in propose_at:
                self.client.propose()
        return votes

    def _answer(self, person: int, shown: ShownImage) -> list[ShownImage]:
        who = self.people[person]
        answer = who.answer(self.faces[shown.image_id], shown.mirrored, shown.label)
        return self.client.vote(person, shown, answer, who.elapsed_ms())

    def _who_gets_more(self, hands: dict[int, list[ShownImage]]) -> list[int]:
        """Images that others held, or that a refresh has opened again, may be left."""
        self.client.settle()
        for person in hands:
            hands[person] += self.client.lease(person, self.prefetch)
        return [person for person, hand in hands.items() if hand]


def run_scenario(
    name: str, scenario: Scenario, seed: int, options: argparse.Namespace, faces: dict[str, Face]
) -> dict[str, Any]:
    """One class of one seed on a site of its own."""
    started = time.perf_counter()
    with _class(scenario, seed, options, faces) as room:
        cast = room.label_all(scenario.propose_at)
        db, campaign_id = room.site.db, room.campaign_id
        if scenario.refresh:
            refresh_campaign(db, campaign_id)
        report: dict[str, Any] = {
            "votes_cast": cast,
            **outcome(db, campaign_id, room.faces),
            "seconds": round(time.perf_counter() - started, 1),
        }
        if name == "majority":
            report["same_votes"] = _read_anew(room)
        if scenario.refresh:
            report["flags"] = flagged(db, campaign_id, room.people)
        if scenario.has_fake_model:
            report["anchoring"] = anchoring(db, campaign_id, room.people)
        report["side_excess"] = sides(db, campaign_id, room.faces)
    return report


def _read_anew(room: Class) -> dict[str, float]:
    """The votes of the fixed majority under the rule of the posterior, without gold or model."""
    with room.site.db.write() as session:
        edit_campaign(session, room.campaign_id, rules=replace(ADAPTIVE, vote_cap=5))
    refresh_campaign(room.site.db, room.campaign_id, all_images=True)
    return outcome(room.site.db, room.campaign_id, room.faces)


@contextmanager
def _class(
    scenario: Scenario, seed: int, options: argparse.Namespace, faces: dict[str, Face]
) -> Iterator[Class]:
    rules = scenario.rules
    if rules.method == "posterior":
        rules = replace(rules, threshold=options.threshold, vote_cap=options.cap)
    with_worker = scenario.refresh and not options.offline
    with new_site("sqlite", with_worker) as site:
        campaign_id, by_image = _prepare(site, rules, faces, options.faces)
        accounts = sign_up(site, sum(KINDS.values()))
        rng = random.Random(seed)
        _make_gold(site, campaign_id, by_image, scenario.gold, rng)
        if scenario.has_fake_model:
            _publish_fake_model(site, campaign_id, by_image, rng)
        ids = [person.id for person in accounts]
        people = make_class(ids, seed, scenario.copy_rate)
        common = (rng, options.prefetch)
        if options.offline:
            client = ServiceClient(site, campaign_id, scenario.refresh)
            yield Class(site, campaign_id, by_image, people, client, *common)
            return
        site.start()
        with closing(HttpClient(site, campaign_id, accounts)) as over_http:
            yield Class(site, campaign_id, by_image, people, over_http, *common)


def _prepare(
    site: Site, rules: Rules, faces: dict[str, Face], path: Path
) -> tuple[int, dict[int, Face]]:
    """An active campaign about the faces whose light is known; the face of each image."""
    dataset_id = register_dataset(site.db, path, "yaleb", activate=False).dataset_id
    check_images(site.db, dataset_id, processes=1)
    plan = CampaignPlan("class", rules, ImageSelection(filenames=tuple(faces)))
    campaign_id = create_campaign(site.db, dataset_id, plan)
    with site.db.write() as session:
        activate_campaign(session, campaign_id)
        rows = session.execute(select(Image.id, Image.filename).order_by(Image.id))
        return campaign_id, {number: faces[name] for number, name in rows if name in faces}


def _make_gold(
    site: Site, campaign_id: int, faces: dict[int, Face], count: int, rng: random.Random
) -> None:
    chosen = rng.sample(sorted(faces), count)
    with site.db.write() as session:
        add_gold(session, campaign_id, [NewGold(n, faces[n].label) for n in chosen], "csv")


def _publish_fake_model(
    site: Site, campaign_id: int, faces: dict[int, Face], rng: random.Random
) -> None:
    """Proposals that are right with `MODEL_SKILL`, wrong ones elsewhere alike."""
    with site.db.read() as session:
        dataset_id = session.scalars(select(Image.dataset_id).limit(1)).one()
    run_id = start_run(site.db, dataset_id, "simulated", {})
    rows = []
    for number, face in faces.items():
        others = [label for label in LABELS if label != face.label]
        label = face.label if rng.random() < MODEL_SKILL else rng.choice(others)
        chances = {f"p_{each}": 0.7 if each == label else 0.15 for each in LABELS}
        rows.append({"model_run_id": run_id, "image_id": number, **chances})
    with site.db.write() as session:
        session.execute(insert(Proposal), rows)
    publish_run(site.db, run_id, {})
    refresh_campaign(site.db, campaign_id, all_images=True)


def summarise(reports: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Means with intervals over the seeds, and how many flags were right and wrong."""
    summary: dict[str, Any] = {}
    for name, runs in reports.items():
        figures = [{k: v for k, v in run.items() if isinstance(v, int | float)} for run in runs]
        summary[name] = over_seeds(figures)
        if "same_votes" in runs[0]:
            summary["same_votes"] = over_seeds([run["same_votes"] for run in runs])
            less = [1 - run["same_votes"]["error"] / run["error"] for run in runs]
            summary["same_votes"] |= over_seeds([{"less_error_than_majority": x} for x in less])
        if "flags" in runs[0]:
            missed, wronged = zip(*(count_missed(run["flags"]) for run in runs), strict=True)
            summary[name] |= {"bad_unflagged": list(missed), "good_flagged": list(wronged)}
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--faces",
        type=Path,
        default=os.environ.get("YALEB"),
        required="YALEB" not in os.environ,
        help="the zip of Extended Yale B [$YALEB]",
    )
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threshold", type=float, default=ADAPTIVE.threshold)
    parser.add_argument("--cap", type=int, default=ADAPTIVE.vote_cap)
    parser.add_argument("--prefetch", type=int, default=2, help="pictures in a person's hands")
    parser.add_argument("--offline", action="store_true", help="call the services, without HTTP")
    parser.add_argument("--json", action="store_true", help="write JSON, with every run")
    options = parser.parse_args()
    faces = read_faces(options.faces)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    reports = {
        name: [run_scenario(name, SCENARIOS[name], seed, options, faces) for seed in seeds]
        for name in options.only
    }
    summary = summarise(reports)
    if options.json:
        print(json.dumps({"summary": summary, "runs": reports}, indent=2))
        return
    for name, figures in summary.items():
        print(name, json.dumps(figures))


if __name__ == "__main__":
    main()
