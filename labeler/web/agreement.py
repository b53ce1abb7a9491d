"""How far people agree, and what showing a proposal does to their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from labeler.domain.labels import LABELS
from labeler.models import Campaign, Estimate, utc_now
from labeler.services import overview
from labeler.web import access, chosen
from labeler.web.admin import bp, links
from labeler.web.heat import Heat, heat, kappa_heat
from labeler.web.measures import Measure, anchoring_measures, side_measure
from labeler.web.numbers import Share, plain, share, signed
from labeler.web.state import Page, db, render

# J. R. Landis, G. G. Koch, Biometrics 33, 1977: customary words for a kappa from this value on.
STRENGTHS = ((0.8, "almost perfect"), (0.6, "substantial"), (0.4, "moderate"), (0.2, "fair"))


@dataclass(frozen=True, slots=True)
class FollowingRow:
    """One person's part in the anchoring."""

    id: int
    pseudonym: str
    difference: Share | None
    following: Share | None
    planted: Share | None


@dataclass(frozen=True, slots=True)
class AgreementPage(Page):
    """Figures of the last refresh; `votes` 0: there has been none."""

    template = "admin/agreement.html"
    as_of: datetime
    campaign: dict[str, int] | None = None
    has_campaign: bool = False
    votes: int = 0
    refreshed_at: datetime | None = None
    alpha: Measure | None = None
    kappa: Heat | None = None
    kappa_words: str = ""
    proposal: Heat | None = None
    proposal_words: str = ""
    anchoring: Sequence[Measure] = ()
    planted: Sequence[Measure] = ()
    side: Measure | None = None
    people: Sequence[FollowingRow] = ()


@bp.get("/agreement", endpoint="agreement")
@access.only("supervisor", "admin")
def agreement_page() -> tuple[str, int]:
    """How far annotators agree with one another."""
    with db().read() as session:
        campaign = chosen.campaign_or_none(session)
        if campaign is None:
            return render(AgreementPage(utc_now()))
        return render(_page(session, campaign))


def _page(session: Session, campaign: Campaign) -> AgreementPage:
    estimate = session.get(Estimate, campaign.id)
    if estimate is None or not estimate.figures["votes"]:
        return AgreementPage(utc_now(), links(campaign), has_campaign=True)
    found = estimate.figures
    kappa, proposal = found["kappa"], found["proposal"]
    return AgreementPage(
        utc_now(),
        links(campaign),
        has_campaign=True,
        votes=found["votes"],
        refreshed_at=estimate.refreshed_at,
        alpha=_alpha(found),
        kappa=_kappa(session, kappa),
        kappa_words=_kappa_words(kappa),
        proposal=_proposal(proposal),
        proposal_words=_proposal_words(proposal, campaign.parsed_rules.use_model),
        anchoring=anchoring_measures(found["anchoring"]),
        planted=_planted(found["planted"]),
        side=side_measure(found["side"]),
        people=_people(session, campaign.id),
    )


def _alpha(found: Mapping[str, Any]) -> Measure:
    alpha = plain(found["alpha"], found["alpha_images"])
    if alpha is None:
        meaning = "Not known yet: no image has two answers that name a label."
        return Measure("Krippendorff\u2019s alpha", None, meaning)
    meaning = (
        "1 means perfect agreement and 0 means no more agreement than by chance. This value is "
        f"{_strength(alpha.estimate)}. It is computed from {found['alpha_images']:,} images "
        "with at least two answers. “Unsure” counts as no answer."
    )
    return Measure("Krippendorff\u2019s alpha", alpha, meaning)


def _strength(value: float) -> str:
    return next((word for least, word in STRENGTHS if value >= least), "slight at most")


def _kappa(session: Session, found: Mapping[str, Any]) -> Heat | None:
    if not found["pairs"]:
        return None
    names = overview.name_people(session, found["people"])
    words = [names[annotator_id] for annotator_id in found["people"]]
    return kappa_heat("Cohen’s kappa of each pair of people", words, found["matrix"])


def _kappa_words(found: Mapping[str, Any]) -> str:
    if not found["pairs"]:
        return "Not known yet: no two people have labelled ten of the same images."
    return (
        f"The median is {signed(found['median'])} over {found['pairs']:,} pairs of the "
        f"{len(found['people'])} people with the most votes. A pale row shows a person who "
        "answers differently from everybody else."
    )


def _proposal(found: Mapping[str, Any]) -> Heat | None:
    if not found["n"]:
        return None
    rows = list(zip(LABELS, found["counts"], strict=True))
    return heat("Proposals compared with agreed labels", "Agreed", LABELS, rows)


def _proposal_words(found: Mapping[str, Any], uses_model: bool) -> str:
    right = share(found["right"], found["n"])
    if right is None:
        return "Not known yet: no image with a nearly certain label has a proposal."
    words = (
        f"The proposal is right for {right.text} of {found['n']:,} images whose label is nearly "
        "certain."
    )
    if uses_model:
        words += (
            " This overstates the accuracy, because in this campaign the model’s proposal "
            "counts towards the label. The agreement of people who did not see the proposal "
            "(below) does not have this bias."
        )
    return words


def _planted(found: Mapping[str, Any]) -> list[Measure]:
    followed, base = share(found["followed"], found["n"]), share(found["base"])
    if followed is None:
        why = "Not known yet: nobody has answered a gold question with a wrong suggestion."
        return [Measure("Repeats a wrong suggestion", None, why)]
    return [
        Measure(
            "Repeats a wrong suggestion",
            followed,
            "Share of deliberately wrong suggestions, beside gold questions, that people repeated.",
        ),
        Measure(
            "Makes the same error without it",
            base,
            "Share of people who gave the same wrong answer without seeing a suggestion.",
        ),
        Measure(
            "Copy rate",
            share(found["following"]),
            "Estimated share that copied the suggestion, after subtracting the people who "
            "would have made this error anyway.",
            -1.0,
        ),
    ]


def _people(session: Session, campaign_id: int) -> list[FollowingRow]:
    """Those first who follow most."""
    rows = [
        FollowingRow(
            person.id,
            person.pseudonym,
            share(skill.figures["anchoring"]["difference"]),
            share(skill.figures["anchoring"]["following"]),
            share(skill.figures["planted"], skill.figures["planted_n"]),
        )
        for person, skill in overview.list_skills(session, campaign_id)
    ]
    return sorted(rows, key=lambda row: -row.following.estimate if row.following else 2.0)
