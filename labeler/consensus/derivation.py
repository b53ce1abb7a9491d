"""The derived columns of `Consensus`: their names, how they are computed, how they are written.

Only `derive` decides what the consensus on an image is. A vote calls it for one image
(`write_derived`), and a rebuild for all images (`consensus.store.rebuild`). So both give the
same result.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from labeler.consensus import majority, stopping_rule
from labeler.consensus.majority import Outcome, VoteCounts, count_votes, majority_outcome
from labeler.consensus.priority import priority
from labeler.consensus.stopping_rule import StoppingRule, apply_stopping_rule, is_audited
from labeler.database.engine import built_once, connection_of
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus, Estimate, Skill
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
NO_MODEL_DOUBT = math.log(3)  # nats: the entropy of three equal shares
_EQUAL = 1e-9  # difference of probabilities that are equal but for rounding

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
    "rules_version",
)
# The rules that decide about a row. The others decide who gets an image and what people see.
_DECIDING_RULES = (
    "order",
    "method",
    "required_votes",
    "vote_cap",
    "threshold",
    "use_model",
    "named",
    "audit_share",
)


class AnnotatorBehaviour(NamedTuple):
    """How one person answers.

    `confusion`: 3 rows of 4 numbers, P(answer | label). `copy_rate`: the probability that the
    person just repeats a proposal that is shown.
    """

    confusion: Confusion = DEFAULT_CONFUSION
    copy_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class CountedVote:
    """A vote that counts, and the label that was shown beside the image."""

    annotator_id: int
    answer: str
    shown_label: str | None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """All that decides about one image.

    `model`: (p_left, p_center, p_right) of the current run. `gold`: the known label.
    `decided`: a supervisor has decided; `decision` is then the label, or None for "cannot tell".
    `ask`: the image's rank among those that the model asks for (`Proposal.ask`).
    """

    image_id: int
    votes: Sequence[CountedVote]
    model: tuple[float, float, float] | None = None
    gold: str | None = None
    decided: bool = False
    decision: str | None = None
    ask: int | None = None


@dataclass(frozen=True, slots=True)
class AnnotatorModel:
    """The rules of a campaign, and how its people answer according to the votes so far.

    `class_prior`: the shares of the 3 labels. `average`: the behaviour of the average person.
    `behaviours`: the behaviour of each person with a `Skill`, by id.
    """

    campaign_id: int
    rules: Rules
    class_prior: Sequence[float] = DEFAULT_PRIOR
    average: AnnotatorBehaviour = field(default_factory=AnnotatorBehaviour)
    behaviours: Mapping[int, AnnotatorBehaviour] = field(default_factory=dict)

    def behaviour_of(self, annotator_id: int) -> AnnotatorBehaviour:
        """How a person answers. A person without a `Skill` answers as the average."""
        return self.behaviours.get(annotator_id, self.average)


def _model_doubt(facts: ImageFacts) -> float:
    """The entropy of the model's probabilities; 0 where it found no face.

    There the probabilities are equal, and a label would teach the model nothing. So such images
    are not asked before those on which the model is in doubt.
    """
    if not facts.model:
        return NO_MODEL_DOUBT
    return entropy(facts.model) if max(facts.model) - min(facts.model) > _EQUAL else 0.0


def derive(facts: ImageFacts, annotator_model: AnnotatorModel) -> dict[str, Any]:
    """The derived columns of the `Consensus` row of one image, by name."""
    rules = annotator_model.rules
    counts = count_votes(vote.answer for vote in facts.votes)
    chances = _chances(facts, annotator_model)
    outcome, method = _outcome(facts, counts, chances, annotator_model)
    doubt = _model_doubt(facts)
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
        "rules_version": rules_version(rules),
    }


@lru_cache(maxsize=64)
def rules_version(rules: Rules) -> int:
    """A number for all that decides how a row is derived, 0 to 2^31 - 1.

    It follows from the rules and the methods of this program, so nothing has to count changes.
    Going back to earlier rules gives their number again.
    """
    decisive = [getattr(rules, name) for name in _DECIDING_RULES]
    words = repr([*decisive, majority.METHOD, stopping_rule.METHOD, GOLD_METHOD, DECISION_METHOD])
    return zlib.crc32(words.encode()) & 0x7FFFFFFF


def write_derived(
    session: Session, facts: ImageFacts, annotator_model: AnnotatorModel, now: datetime
) -> None:
    """Derive the consensus row of one image and write it. The row must be locked already."""
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
    """P(label) from gold, decision and votes, without any model: what a model may learn from."""
    return _chances(replace(facts, model=None), annotator_model)


def load_annotator_model(session: Session, campaign_id: int) -> AnnotatorModel:
    """The annotator model of a campaign; three statements."""
    rules = session.get_one(Campaign, campaign_id).parsed_rules
    skills = session.execute(
        select(Skill.annotator_id, Skill.confusion, Skill.copy_rate).where(
            Skill.campaign_id == campaign_id
        )
    )
    estimate = session.get(Estimate, campaign_id)
    if estimate is None:
        return make_annotator_model(campaign_id, rules, None, None, skills)
    average = (estimate.confusion, estimate.copy_rate)
    return make_annotator_model(campaign_id, rules, estimate.class_prior, average, skills)


def make_annotator_model(
    campaign_id: int,
    rules: Rules,
    class_prior: Sequence[float] | None,
    average: Any,
    skills: Iterable[Any],
) -> AnnotatorModel:
    """The annotator model from columns of the database.

    Parameters:
        class_prior, average: from `Estimate`, None without one; `average` is (confusion,
            copy_rate).
        skills: rows of (annotator_id, confusion, copy_rate).
    """
    return AnnotatorModel(
        campaign_id,
        rules,
        class_prior or DEFAULT_PRIOR,
        AnnotatorBehaviour(*average) if average else AnnotatorBehaviour(),
        {person: AnnotatorBehaviour(*behaviour) for person, *behaviour in skills},
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
        # Each refresh moves the class prior a little. An image without votes must not change.
        return DEFAULT_PRIOR
    evidence = (
        Evidence(vote.answer, *_conditions(vote, annotator_model.behaviour_of(vote.annotator_id)))
        for vote in facts.votes
    )
    return label_posterior(prior, evidence)


def _conditions(
    vote: CountedVote, behaviour: AnnotatorBehaviour
) -> tuple[Confusion, str | None, float]:
    return behaviour.confusion, vote.shown_label, behaviour.copy_rate


def _outcome(
    facts: ImageFacts, counts: VoteCounts, chances: Sequence[float], annotator_model: AnnotatorModel
) -> tuple[Outcome, str]:
    if facts.decided:
        return _certain_outcome(facts.decision), DECISION_METHOD
    if facts.gold is not None:
        return _certain_outcome(facts.gold), GOLD_METHOD
    image = annotator_model.campaign_id, facts.image_id
    return outcome_of_votes(image, counts, chances, annotator_model.rules)


def outcome_of_votes(
    image: tuple[int, int], counts: VoteCounts, chances: Sequence[float], rules: Rules
) -> tuple[Outcome, str]:
    """What the votes on an image say by some rules, and by which method.

    Parameters:
        image: the ids of campaign and image.
        chances: P(left), P(center), P(right) given the votes.
    """
    if rules.method == "majority":
        return majority_outcome(counts, rules.required_votes), majority.METHOD
    audited = is_audited(*image, rules.audit_share)
    rule = StoppingRule(rules.threshold, rules.required_votes, rules.vote_cap, rules.named)
    return apply_stopping_rule(chances, counts, rule, audited), stopping_rule.METHOD


def _certain_outcome(label: str | None) -> Outcome:
    return Outcome("agreed", label, 1.0) if label else Outcome("contested")
