"""The page of agreement between people, and of the effect of suggestions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint
from sqlalchemy.orm import Session

from labeler.accounts import service as accounts
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext, pgettext
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Estimate
from labeler.quality.skills import list_skills
from labeler.web import access, current_campaign
from labeler.web.context import Page, db, render
from labeler.web.current_campaign import links
from labeler.web.formatting import Share, format_decimal, format_number, format_share
from labeler.web.heatmap import HeatMap, kappa_heat_map, share_heat_map
from labeler.web.person_name import PersonName, name_person
from rotation.data.labels import LABELS

bp = Blueprint("agreement", __name__, url_prefix="/admin")
# Words for a kappa or alpha from this value on: J. R. Landis, G. G. Koch, Biometrics 33, 1977.
STRENGTHS = (
    (0.8, mark("This value is almost perfect.")),
    (0.6, mark("This value is substantial.")),
    (0.4, mark("This value is moderate.")),
    (0.2, mark("This value is fair.")),
)
WEAKEST = mark("This value is slight at most.")
KRIPPENDORFF = mark("Krippendorff’s alpha")


@dataclass(frozen=True, slots=True)
class CopyRateRow:
    """How a person reacts to suggestions."""

    name: PersonName
    difference: Share | None
    copy_rate: Share | None
    inserted: Share | None


@dataclass(frozen=True, slots=True)
class AgreementPage(Page):
    """The statistics of the last refresh. `votes` is 0 before the first one."""

    template = "agreement/agreement.html"
    as_of: datetime
    campaign: dict[str, int] | None = None
    has_campaign: bool = False
    votes: int = 0
    refreshed_at: datetime | None = None
    alpha: Measure | None = None
    kappa: HeatMap | None = None
    kappa_words: str = ""
    proposal: HeatMap | None = None
    proposal_words: str = ""
    anchoring: Sequence[Measure] = ()
    inserted: Sequence[Measure] = ()
    side: Measure | None = None
    people: Sequence[CopyRateRow] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """A share with its interval, and what it means. `share` is None if it is not known yet.

    `low`: the lower end of its scale, 0 or -1.
    """

    word: str
    share: Share | None
    meaning: str
    low: float = 0.0


@bp.get("/agreement", endpoint="agreement")
@access.only("supervisor", "admin")
def agreement_page() -> tuple[str, int]:
    """How far annotators agree with one another."""
    with db().read() as session:
        campaign = current_campaign.campaign_or_none(session)
        if campaign is None:
            return render(AgreementPage(utc_now()))
        return render(_page(session, campaign))


def anchoring_measures(found: Mapping[str, Any]) -> list[Measure]:
    """Return agreement with shown and hidden proposals, their difference, and the copy rate."""
    apart = format_share(found["difference"])
    follows = format_share(found["following"])
    return [
        Measure(
            _("Agrees with a suggestion that is shown"),
            format_share(found["shown"], found["shown_n"]),
            _(
                "Share of the answers given beside a suggestion. Deliberately wrong "
                "suggestions and answers from “Verify many images” are left out."
            ),
        ),
        Measure(
            _("Agrees with a proposal that is hidden"),
            format_share(found["blind"], found["blind_n"]),
            _("Share of the answers given while the proposal was hidden on purpose."),
        ),
        Measure(_("Difference"), apart, _difference_meaning(apart, found), -1.0),
        Measure(_("Copy rate"), follows, _copy_rate_meaning(follows), -1.0),
    ]


def inserted_measure(values: Sequence[float] | None, n: int) -> Measure:
    """Return how often inserted wrong suggestions were repeated."""
    meaning = _(
        "Share of the deliberately wrong suggestions, beside gold questions, that were repeated."
    )
    if values is None:
        meaning = _("Not known yet: no gold question with a wrong suggestion has been answered.")
    return Measure(_("Repeats a wrong suggestion"), format_share(values, n), meaning)


def side_measure(found: Mapping[str, Any]) -> Measure:
    """Return whether people prefer a side of the screen."""
    bias = format_share(found["bias"], found["plain_n"] + found["mirrored_n"])
    return Measure(_("Prefers the left of the screen"), bias, _side_meaning(bias, found), -1.0)


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
        inserted=_inserted(found["planted"]),
        side=side_measure(found["side"]),
        people=_people(session, campaign.id),
    )


def _alpha(found: Mapping[str, Any]) -> Measure:
    alpha = format_number(found["alpha"], found["alpha_images"])
    if alpha is None:
        meaning = _("Not known yet: no image has two answers that name a label.")
        return Measure(_(KRIPPENDORFF), None, meaning)
    sentences = (
        _("1 means perfect agreement and 0 means no more agreement than by chance."),
        _strength(alpha.estimate),
        ngettext(
            "It is computed from %(num)s image with at least two answers.",
            "It is computed from %(num)s images with at least two answers.",
            found["alpha_images"],
        ),
        _("“Unsure” counts as no answer."),
    )
    return Measure(_(KRIPPENDORFF), alpha, " ".join(sentences))


def _strength(value: float) -> str:
    return _(next((said for least, said in STRENGTHS if value >= least), WEAKEST))


def _kappa(session: Session, found: Mapping[str, Any]) -> HeatMap | None:
    if not found["pairs"]:
        return None
    people = accounts.people_by_id(session, found["people"])
    names = [name_person(people[annotator_id]) for annotator_id in found["people"]]
    return kappa_heat_map(_("Cohen’s kappa of each pair of people"), names, found["matrix"])


def _kappa_words(found: Mapping[str, Any]) -> str:
    if not found["pairs"]:
        return _("Not known yet: no two people have labelled ten of the same images.")
    return ngettext(
        "The median is %(median)s over %(num)s pair of the %(people)s people with the most votes. "
        "A pale row shows a person who answers differently from everybody else.",
        "The median is %(median)s over %(num)s pairs of the %(people)s people with the most votes. "
        "A pale row shows a person who answers differently from everybody else.",
        found["pairs"],
        median=format_decimal(found["median"]),
        people=write_number(len(found["people"])),
    )


def _proposal(found: Mapping[str, Any]) -> HeatMap | None:
    if not found["n"]:
        return None
    rows = list(zip(LABELS, found["counts"], strict=True))
    return share_heat_map(
        _("Proposals compared with agreed labels"), pgettext("label", "Agreed"), LABELS, rows
    )


def _proposal_words(found: Mapping[str, Any], uses_model: bool) -> str:
    right = format_share(found["right"], found["n"])
    if right is None:
        return _("Not known yet: no image with a nearly certain label has a proposal.")
    words = ngettext(
        "The proposal is right for %(share)s of %(num)s image whose label is nearly certain.",
        "The proposal is right for %(share)s of %(num)s images whose label is nearly certain.",
        found["n"],
        share=right.text,
    )
    if not uses_model:
        return words
    bias = _(
        "This overstates the accuracy, because in this campaign the model’s proposal counts "
        "towards the label. The agreement of people who did not see the proposal (below) does "
        "not have this bias."
    )
    return f"{words} {bias}"


def _inserted(found: Mapping[str, Any]) -> list[Measure]:
    followed, base = format_share(found["followed"], found["n"]), format_share(found["base"])
    if followed is None:
        why = _("Not known yet: nobody has answered a gold question with a wrong suggestion.")
        return [Measure(_("Repeats a wrong suggestion"), None, why)]
    return [
        Measure(
            _("Repeats a wrong suggestion"),
            followed,
            _(
                "Share of deliberately wrong suggestions, beside gold questions, that people "
                "repeated."
            ),
        ),
        Measure(
            _("Makes the same error without it"),
            base,
            _("Share of people who gave the same wrong answer without seeing a suggestion."),
        ),
        Measure(
            _("Copy rate"),
            format_share(found["following"]),
            _(
                "Estimated share that copied the suggestion, after subtracting the people who "
                "would have made this error anyway."
            ),
            -1.0,
        ),
    ]


def _people(session: Session, campaign_id: int) -> list[CopyRateRow]:
    """Return the people, those with the highest copy rate first."""
    rows = [
        CopyRateRow(
            name_person(person),
            format_share(skill.figures["anchoring"]["difference"]),
            format_share(skill.figures["anchoring"]["following"]),
            format_share(skill.figures["planted"], skill.figures["planted_n"]),
        )
        for person, skill in list_skills(session, campaign_id)
    ]
    return sorted(rows, key=lambda row: -row.copy_rate.estimate if row.copy_rate else 2.0)


def _difference_meaning(apart: Share | None, found: Mapping[str, Any]) -> str:
    if apart is None:
        if not found["shown_n"]:
            return _(
                "Not known yet: there is no answer with a proposal that was seen. The campaign "
                "must show proposals for some images and hide them for others."
            )
        return _(
            "Not known yet: there is no answer with a proposal that was hidden. The campaign "
            "must show proposals for some images and hide them for others."
        )
    if not apart.sure_not_zero:
        return _("The interval contains 0, so showing the suggestion has no proven effect.")
    if apart.estimate > 0:
        return _("People agree with a proposal more often when they see it than when it is hidden.")
    return _("People agree with a proposal less often when they see it than when it is hidden.")


def _copy_rate_meaning(follows: Share | None) -> str:
    if follows is None:
        return _("Not known yet: this needs the difference above.")
    if follows.low > 0:
        return _(
            "Estimated share of the answers beside a suggestion that would have been different "
            "without it."
        )
    return _("The interval contains 0, so possibly nobody copies suggestions.")


def _side_meaning(bias: Share | None, found: Mapping[str, Any]) -> str:
    if bias is None:
        return _(
            "Not known: images must be shown both mirrored and not mirrored to tell a habit of "
            "the hand from the light. Turn on mirrored images in the rules of the campaign."
        )
    if not bias.sure_not_zero:
        finding = _("The interval contains 0, so no preference is proven.")
    elif bias.estimate > 0:
        finding = _(
            "People choose the left of the screen too often, wherever the light comes from."
        )
    else:
        finding = _(
            "People choose the right of the screen too often, wherever the light comes from."
        )
    views = _(
        "From %(plain)s images shown as they are and %(mirrored)s shown mirrored.",
        plain=write_number(found["plain_n"]),
        mirrored=write_number(found["mirrored_n"]),
    )
    return f"{views} {finding}"
