"""Simulate votes per image and accuracy of stopping rules, without a database.

A class of 40 people (24 good, 6 careless, 4 biased to center, 3 spammers, 3 who always press the
same side) labels images whose truth is known. Votes come one by one from a random person. The
person gets an open image with the fewest votes (breadth) or with the most (finish). Skills are
fitted again, and flagged people are paused, every 100 votes. If there is gold, everybody answers it
first, and it does not count in votes per image. Three rules are compared: a fixed number of votes
with the majority, the adaptive stopping rule without a classifier, and the same with a simulated
calibrated classifier. Each figure is the mean over repetitions with its 95 % interval.

Example:
    python benchmarks/retirement_simulation.py --images 1000 --json
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, field

import _project  # noqa: F401

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from labeler.consensus.majority import VoteCounts
from labeler.consensus.stopping_rule import StoppingRule, apply_stopping_rule
from labeler.labels import ANSWERS
from labeler.rules.campaign_rules import Rules
from labeler.statistics.annotator_flags import Record, flags, recommend_action, without_own
from labeler.statistics.dawid_skene import KAPPA, Skills, fit_skills
from labeler.statistics.posterior import DEFAULT_CONFUSION, Evidence, label_posterior
from labeler.statistics.simulated_class import (
    KINDS,
    LABEL_SHARES,
    MODEL_ACCURACY,
    USELESS,
    draw_answers,
    draw_confusion,
    draw_proposals,
)
from labeler.statistics.vote_arrays import Votes

REFRESH_EVERY = 100
ORDERS = {"breadth": 1.0, "finish": -1.0}


@dataclass(frozen=True)
class Setting:
    """One campaign to simulate."""

    rule: StoppingRule
    model: bool = False
    order: str = "finish"
    gold: int = 0
    pause: bool = True


def stopping_rule(
    threshold: float | None = None, min_votes: int = 1, named: bool = True
) -> StoppingRule:
    """The rule of a new campaign, with other numbers where they are given."""
    usual = Rules()
    return StoppingRule(threshold or usual.threshold, min_votes, usual.vote_cap, named)


SETTINGS = {
    "no classifier": Setting(stopping_rule()),
    "no classifier, threshold 0.88": Setting(stopping_rule(threshold=0.88)),
    "no classifier, threshold 0.95": Setting(stopping_rule(threshold=0.95)),
    "no classifier, two votes": Setting(stopping_rule(min_votes=2)),
    "no classifier, breadth first": Setting(stopping_rule(), order="breadth"),
    "no classifier, nobody paused": Setting(stopping_rule(), pause=False),
    "no classifier, 10 gold": Setting(stopping_rule(), gold=10),
    "classifier": Setting(stopping_rule(), model=True, order="breadth"),
    "classifier, 10 gold": Setting(stopping_rule(), model=True, order="breadth", gold=10),
    "classifier, any label": Setting(stopping_rule(named=False), model=True, order="breadth"),
    "classifier, nobody paused": Setting(stopping_rule(), model=True, order="breadth", pause=False),
}


@dataclass
class World:
    """Truth, what each person would answer to each image, and a model's probabilities."""

    images: int
    seed: int
    gold: int = 0  # further images, at the end, whose label is known
    kinds: list[str] = field(init=False)
    truth: np.ndarray = field(init=False)
    answers: np.ndarray = field(init=False)
    proposals: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.kinds = [kind for kind, n in KINDS.items() for _ in range(n)]
        confusions = np.stack([draw_confusion(kind, self.rng) for kind in self.kinds])
        self.total = self.images + self.gold
        self.truth = self.rng.choice(3, self.total, p=LABEL_SHARES)
        self.answers = draw_answers(confusions[:, self.truth], self.rng)
        self.proposals = draw_proposals(self.truth, MODEL_ACCURACY, self.rng)


class Campaign:
    """Votes one by one until every image is agreed or contested."""

    def __init__(self, world: World, setting: Setting) -> None:
        self.world, self.setting = world, setting
        people, images = world.answers.shape
        self.confusions = [DEFAULT_CONFUSION] * people
        self.prior = (
            [tuple(row) for row in world.proposals] if setting.model else [(1 / 3,) * 3] * images
        )
        self.voters: list[list[int]] = [[] for _ in range(images)]
        self.gold = np.where(np.arange(images) < world.images, -1, world.truth)
        self.log = [(i, person) for person in range(people) for i in np.flatnonzero(self.gold >= 0)]
        self.status = np.where(self.gold < 0, "open", "gold").astype(object)
        self.n_votes = np.zeros(images, dtype=int)
        self.asked = np.zeros((people, images), dtype=bool)
        self.active = list(range(people))
        self.paused_at: dict[int, int] = {}
        self.flagged: dict[int, str] = {}

    def run(self) -> Skills:
        """Until nobody has an open image left; the last refresh is returned."""
        if self.log:
            self.refresh()
        while (self.status == "open").any():
            person = self.active[self.world.rng.integers(len(self.active))]
            image = self.next_image(person)
            if image is None:
                if not any(self.next_image(other) is not None for other in self.active):
                    break
                continue
            self.vote(person, image)
            if len(self.log) % REFRESH_EVERY == 0:
                self.refresh()
        return self.refresh()

    def next_image(self, person: int) -> int | None:
        """A random one of the open images with the fewest votes that this person has not had."""
        free = (self.status == "open") & ~self.asked[person]
        if not free.any():
            return None
        key = np.where(
            free,
            ORDERS[self.setting.order] * self.n_votes + self.world.rng.random(len(free)),
            np.inf,
        )
        return int(key.argmin())

    def vote(self, person: int, image: int) -> None:
        self.asked[person, image] = True
        self.voters[image].append(person)
        self.n_votes[image] += 1
        self.log.append((image, person))
        self.decide(image)

    def decide(self, image: int) -> None:
        answers = [ANSWERS[self.world.answers[person, image]] for person in self.voters[image]]
        pairs = zip(answers, self.voters[image], strict=True)
        evidence = [Evidence(answer, self.confusions[person]) for answer, person in pairs]
        counts = VoteCounts(*(answers.count(answer) for answer in ANSWERS))
        posterior = label_posterior(self.prior[image], evidence)
        self.status[image] = apply_stopping_rule(posterior, counts, self.setting.rule).status

    def refresh(self) -> Skills:
        """New skills, new decisions (an image may open again), and who is paused."""
        skills = self.fit()
        self.confusions = [tuple(map(tuple, rows)) for rows in skills.confusions.tolist()]
        if not self.setting.model:
            self.prior = [tuple(skills.class_prior.tolist())] * self.world.total
        for image in np.flatnonzero(self.n_votes):
            self.decide(image)
        if self.setting.pause:
            self.pause_flagged(skills)
        return skills

    def fit(self) -> Skills:
        image, person = np.array(self.log).T
        votes = Votes(image, person, self.world.answers[person, image])
        prior = self.world.proposals if self.setting.model else None
        return fit_skills(
            votes, self.world.total, len(self.world.kinds), prior=prior, gold=self.gold
        )

    def pause_flagged(self, skills: Skills) -> None:
        for person in list(self.active):
            images = np.array([image for image, other in self.log if other == person], dtype=int)
            answers = self.world.answers[person, images]
            rest = without_own(skills.posteriors[images], answers, skills.confusions[person])
            known = self.gold[images] >= 0
            right = int((answers == self.gold[images]).sum())
            record = Record(answers, rest, gold_right=right, gold_asked=int(known.sum()))
            found = flags(record)
            if found:
                self.flagged.setdefault(person, found[0].code)
            if recommend_action(found) == "pause":
                self.active.remove(person)
                self.paused_at[person] = len(images)


def run_adaptive(setting: Setting, images: int, seed: int) -> dict[str, float]:
    """Figures of one campaign. A contested image counts with the likeliest label of the batch."""
    world = World(images, seed, setting.gold)
    campaign, n = Campaign(world, setting), images
    posteriors = campaign.run().posteriors[:n]
    right = posteriors.argmax(axis=1) == world.truth[:n]
    agreed = campaign.status[:n] == "agreed"
    kinds = [world.kinds[person] for person in campaign.paused_at]
    return {
        "votes_per_image": campaign.n_votes.sum() / n,
        "accuracy": right.mean(),
        "agreed_share": agreed.mean(),
        "accuracy_of_agreed": right[agreed].mean(),
        "paused_spammers_and_one_sided": sum(kind in USELESS for kind in kinds),
        "paused_good": kinds.count("good"),
        "flagged_good": sum(world.kinds[person] == "good" for person in campaign.flagged),
        "paused_others": sum(kind in ("careless", "centrist") for kind in kinds),
    }


def run_fixed(k: int, images: int, seed: int, kappa: float = KAPPA) -> dict[str, float]:
    """k votes an image by k people: majority against the posterior of the same votes."""
    world = World(images, seed)
    people = len(world.kinds)
    image = np.repeat(np.arange(images), k)
    person = np.concatenate([world.rng.permutation(people)[:k] for _ in range(images)])
    votes = Votes(image, person, world.answers[person, image])
    counts = np.bincount(image * 4 + votes.answer, minlength=images * 4).reshape(-1, 4)[:, :3]
    of_truth = counts[np.arange(images), world.truth]
    best = counts == counts.max(axis=1, keepdims=True)
    majority = np.where(of_truth == counts.max(axis=1), 1 / best.sum(axis=1), 0.0)
    figures = {"majority_error": 1 - majority.mean(), "contested": (best.sum(axis=1) > 1).mean()}
    for name, prior in (("skills", None), ("skills_with_model", world.proposals)):
        fitted = fit_skills(votes, images, people, prior=prior, kappa=kappa)
        figures[f"{name}_error"] = (fitted.posteriors.argmax(axis=1) != world.truth).mean()
    return figures


def summary(runs: list[dict[str, float]]) -> dict[str, list[float]]:
    """Of each figure the mean and its 95 % limits over the runs (normal)."""
    result = {}
    for name in runs[0]:
        values = np.array([run[name] for run in runs], dtype=float)
        half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
        result[name] = [round(float(values.mean() + step * half), 4) for step in (0, -1, 1)]
    return result


def error_ratio(fixed: list[dict[str, float]], seed: int = 0) -> list[float]:
    """Errors of the posterior over those of the majority on the same votes, with a bootstrap
    interval over the runs."""
    errors = np.array([[run["skills_error"], run["majority_error"]] for run in fixed])
    draws = np.random.default_rng(seed).integers(len(errors), size=(2000, len(errors)))
    sums = errors[draws].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    ratio = errors[:, 0].sum() / errors[:, 1].sum()
    return [round(float(value), 3) for value in (ratio, low, high)]


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", help="the settings whose name contains this")
    parser.add_argument("--kappa", type=float, default=KAPPA, help="of the fixed votes")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    seeds = range(asked.first_seed, asked.first_seed + asked.repetitions)
    report: dict[str, object] = {"images": asked.images, "repetitions": asked.repetitions}
    for k in (1, 2, 3, 5):
        runs = [run_fixed(k, asked.images, seed, asked.kappa) for seed in seeds]
        report[f"fixed, {k} votes"] = summary(runs) | {"error_ratio": error_ratio(runs)}
    for name, setting in SETTINGS.items():
        if asked.only is None or asked.only in name:
            report[name] = summary([run_adaptive(setting, asked.images, seed) for seed in seeds])
    print(json.dumps(report, indent=None if asked.json else 2))


if __name__ == "__main__":
    main()
