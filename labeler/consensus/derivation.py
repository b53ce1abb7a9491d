"""The derived columns of the consensus: their names, the function that fills them, the statement.

`derive` alone decides what an image's consensus is. A vote uses it for one image
(`write_derived`), a rebuild for all of them (`consensus.store.rebuild`), so the two cannot differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from labeler.consensus import majority as consensus_majority
from labeler.consensus import stopping_rule
from labeler.consensus.majority import Outcome, VoteCounts, count_votes, majority
from labeler.consensus.priority import priority
from labeler.consensus.stopping_rule import RetirementRule, is_audited, retire
from labeler.database.statements import built_once, connection_of
from labeler.models import Campaign, Consensus, Estimate, Skill
from labeler.rules.campaign_rules import Rules
from labeler.statistics.posterior import (
    DEFAULT_CONFUSION,
    Confusion,
    Evidence,
    entropy,
    label_posterior,
)
from rotation.data.labels import LABELS

GOLD_METHOD = "gold-1"
DECISION_METHOD = "decision-1"
DEFAULT_PRIOR = (1 / 3, 1 / 3, 1 / 3)
NOBODY = math.log(3)  # doubt where there is no model

DERIVED_COLUMNS = (
    "status",
    "label",
    "probability",
    "p_left",
    "p_center",
    "p_right",
    "votes_left",
    "votes_center",
    "votes_right",
    "votes_unsure",
    "method",
    "priority",
)

Habits = tuple[Confusion, float]  # confusion and following of a person


@dataclass(frozen=True, slots=True)
class CountedVote:
    """A current vote that counts."""

    annotator_id: int
    answer: str
    shown_label: str | None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """All that decides about one image. `decided` with label None: it cannot be told; `ask`: its
    place among those that the model asks for."""

    image_id: int
    votes: Sequence[CountedVote]
    model: tuple[float, float, float] | None = None
    gold: str | None = None
    decided: bool = False
    decision: str | None = None
    ask: int | None = None


@dataclass(frozen=True, slots=True)
class AnnotatorModel:
    """The rules of a campaign, and what the votes so far say about its people."""

    campaign_id: int
    rules: Rules
    class_prior: Sequence[float] = DEFAULT_PRIOR
    average: Habits = (DEFAULT_CONFUSION, 0.0)
    habits: Mapping[int, Habits] = field(default_factory=dict)

    def habits_of(self, annotator_id: int) -> Habits:
        """How a person answers; the average of whom nothing is known."""
        return self.habits.get(annotator_id, self.average)


def derive(facts: ImageFacts, annotator_model: AnnotatorModel) -> dict[str, Any]:
    """The derived columns of `Consensus`."""
    rules = annotator_model.rules
    counts = count_votes(vote.answer for vote in facts.votes)
    chances = _chances(facts, annotator_model)
    outcome, method = _outcome(facts, counts, chances, annotator_model)
    doubt = entropy(facts.model) if facts.model else NOBODY
    return {
        "status": outcome.status,
        "label": outcome.label,
        "probability": outcome.probability,
        "p_left": chances[0],
        "p_center": chances[1],
        "p_right": chances[2],
        "votes_left": counts.left,
        "votes_center": counts.center,
        "votes_right": counts.right,
        "votes_unsure": counts.unsure,
        "method": method,
        "priority": priority(rules.order, counts, chances, facts.image_id, doubt, facts.ask),
    }


def write_derived(
    session: Session, facts: ImageFacts, annotator_model: AnnotatorModel, now: datetime
) -> None:
    """Derive the consensus row of one image and store it; the row must be held already."""
    where = {"of_campaign": annotator_model.campaign_id, "of_image": facts.image_id}
    values = {**derive(facts, annotator_model), "updated_at": now}
    connection_of(session).execute(_update_statement(), {**values, **where})


@built_once
def _update_statement() -> Any:
    table: Any = Consensus.__table__
    return (
        update(table)
        .where(
            table.c.campaign_id == bindparam("of_campaign"),
            table.c.image_id == bindparam("of_image"),
        )
        .values({name: bindparam(name) for name in (*DERIVED_COLUMNS, "updated_at")})
    )


def chances_by_votes(
    facts: ImageFacts, annotator_model: AnnotatorModel
) -> tuple[float, float, float]:
    """P(label) by gold, decision and votes, whatever the model says: what may teach a model."""
    return _chances(replace(facts, model=None), annotator_model)


def load_annotator_model(session: Session, campaign_id: int) -> AnnotatorModel:
    """Everything but the facts of the images; three statements."""
    rules = session.get_one(Campaign, campaign_id).parsed_rules
    skills = session.execute(
        select(Skill.annotator_id, Skill.confusion, Skill.following).where(
            Skill.campaign_id == campaign_id
        )
    )
    estimate = session.get(Estimate, campaign_id)
    if estimate is None:
        return make_annotator_model(campaign_id, rules, None, None, skills)
    average = (estimate.confusion, estimate.following)
    return make_annotator_model(campaign_id, rules, estimate.class_prior, average, skills)


def make_annotator_model(
    campaign_id: int,
    rules: Rules,
    class_prior: Sequence[float] | None,
    average: Any,
    skills: Iterable[Any],
) -> AnnotatorModel:
    """From columns: `average` is (confusion, following), `skills` rows of person and the same."""
    return AnnotatorModel(
        campaign_id,
        rules,
        class_prior or DEFAULT_PRIOR,
        average or (DEFAULT_CONFUSION, 0.0),
        {person: (confusion, following) for person, confusion, following in skills},
    )


def _chances(facts: ImageFacts, annotator_model: AnnotatorModel) -> tuple[float, float, float]:
    certain = facts.decision if facts.decided else facts.gold
    if certain is not None:
        left, center, right = (float(label == certain) for label in LABELS)
        return left, center, right
    prior: Sequence[float] = annotator_model.class_prior
    if annotator_model.rules.use_model and facts.model:
        prior = facts.model
    elif not facts.votes:
        # The class prior moves a little with each refresh; an image that nobody has seen stays.
        return DEFAULT_PRIOR
    evidence = (
        Evidence(vote.answer, *_seen(vote, annotator_model.habits_of(vote.annotator_id)))
        for vote in facts.votes
    )
    return label_posterior(prior, evidence)


def _seen(vote: CountedVote, habits: Habits) -> tuple[Confusion, str | None, float]:
    confusion, following = habits
    return confusion, vote.shown_label, following


def _outcome(
    facts: ImageFacts, counts: VoteCounts, chances: Sequence[float], annotator_model: AnnotatorModel
) -> tuple[Outcome, str]:
    if facts.decided:
        return _certain(facts.decision), DECISION_METHOD
    if facts.gold is not None:
        return _certain(facts.gold), GOLD_METHOD
    rules = annotator_model.rules
    if rules.method == "majority":
        return majority(counts, rules.required_votes), consensus_majority.METHOD
    audited = is_audited(annotator_model.campaign_id, facts.image_id, rules.audit_share)
    rule = RetirementRule(rules.threshold, rules.required_votes, rules.vote_cap, rules.named)
    return retire(chances, counts, rule, audited), stopping_rule.METHOD


def _certain(label: str | None) -> Outcome:
    return Outcome("agreed", label, 1.0) if label else Outcome("contested")
