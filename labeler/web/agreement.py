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
        proposal_words=_proposal_words(proposal, campaign.rules["use_model"]),
        anchoring=anchoring_measures(found["anchoring"]),
        planted=_planted(found["planted"]),
        side=side_measure(found["side"]),
        people=_people(session, campaign.id),
    )


def _alpha(found: Mapping[str, Any]) -> Measure:
    alpha = plain(found["alpha"], found["alpha_images"])
    if alpha is None:
        meaning = "Cannot be told yet: no image has two answers that name a label."
        return Measure("Krippendorff\u2019s alpha", None, meaning)
    meaning = (
        f"1 is perfect agreement, 0 what chance would give; this is {_strength(alpha.estimate)}. "
        f"From {found['alpha_images']:,} images with two answers or more; \u201cunsure\u201d "
        "counts as no answer."
    )
    return Measure("Krippendorff\u2019s alpha", alpha, meaning)


def _strength(value: float) -> str:
    return next((word for least, word in STRENGTHS if value >= least), "slight at most")


def _kappa(session: Session, found: Mapping[str, Any]) -> Heat | None:
    if not found["pairs"]:
        return None
    names = overview.name_people(session, found["people"])
    words = [names[annotator_id] for annotator_id in found["people"]]
    return kappa_heat("Cohen\u2019s kappa of each two people", words, found["matrix"])


def _kappa_words(found: Mapping[str, Any]) -> str:
    if not found["pairs"]:
        return "Cannot be told yet: no two people have ten images in common."
    return (
        f"Median {signed(found['median'])} over {found['pairs']:,} pairs of the "
        f"{len(found['people'])} people with the most votes. A person whose row is pale answers "
        "otherwise than everybody else."
    )


def _proposal(found: Mapping[str, Any]) -> Heat | None:
    if not found["n"]:
        return None
    rows = list(zip(LABELS, found["counts"], strict=True))
    return heat("Proposals by what is agreed", "Agreed", LABELS, rows)


def _proposal_words(found: Mapping[str, Any], uses_model: bool) -> str:
    right = share(found["right"], found["n"])
    if right is None:
        return "Cannot be told yet: no image with a clear label has a proposal."
    words = f"The proposal is the label on {right.text} of {found['n']:,} images with a clear one."
    if uses_model:
        words += (
            " This flatters the model, since this campaign lets it have a say in the label; the "
            "agreement of people who did not see the proposal, below, does not."
        )
    return words


def _planted(found: Mapping[str, Any]) -> list[Measure]:
    followed, base = share(found["followed"], found["n"]), share(found["base"])
    if followed is None:
        why = "No wrong proposal has been planted and answered yet: it needs gold images."
        return [Measure("Repeats a planted wrong proposal", None, why)]
    return [
        Measure("Repeats a planted wrong proposal", followed, "Of wrong proposals on gold images."),
        Measure("Errs just so without it", base, "The same wrong answer by people who saw none."),
        Measure(
            "Only repeats the proposal",
            share(found["following"]),
            "What is left when those are taken out who would have erred in that way anyhow.",
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
