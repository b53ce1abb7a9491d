"""The quality of each person's answers: a table, and a page for each person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, request, url_for
from sqlalchemy.orm import Session

from labeler.campaigns import participation
from labeler.campaigns.participation import ParticipantStatus
from labeler.errors import NotFound
from labeler.labels import ANSWERS
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext, pgettext
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Skill
from labeler.progress.annotator_progress import count_votes
from labeler.quality.skills import list_skills
from labeler.web import access, current_campaign
from labeler.web.agreement import Measure, anchoring_measures, inserted_measure, side_measure
from labeler.web.context import Page, db, render
from labeler.web.current_campaign import links
from labeler.web.formatting import (
    Share,
    Statistic,
    format_decimal,
    format_percent,
    format_seconds,
    format_share,
)
from labeler.web.heatmap import HeatMap, share_heat_map
from labeler.web.people.overview import status_words
from labeler.web.person_name import PersonName, name_person
from labeler.web.status_reasons import write_reason
from rotation.data.labels import LABELS

bp = Blueprint("quality", __name__, url_prefix="/admin")
ORDERS = ("ascending", "descending")


@dataclass(frozen=True, slots=True)
class PersonRow:
    """The statistics of a person. A share is None if it is not known yet.

    `details`: the address of all measures.
    """

    name: PersonName
    details: str
    votes: int
    gold: Share | None
    agreement: Share | None
    median_ms: float | None
    unsure: float
    copy_rate: float
    inserted: Share | None
    information: float
    status: str
    status_words: str
    reason: str
    flags: Sequence[str]

    @property
    def words(self) -> dict[str, str]:
        """The statistics without an interval, as texts."""
        return {
            "median": format_seconds(self.median_ms),
            "unsure": format_percent(self.unsure),
            "copy_rate": format_percent(self.copy_rate),
            "information": format_decimal(self.information),
        }


@dataclass(frozen=True, slots=True)
class ColumnHead:
    """A heading that sorts the table. `order` is none, ascending or descending.

    `word`: the heading within a sentence.
    """

    code: str
    text: str
    word: str
    order: str
    link_order: str


@dataclass(frozen=True, slots=True)
class QualityPage(Page):
    """The table, one row for each person."""

    template = "quality/quality.html"
    as_of: datetime
    campaign: dict[str, int] | None = None
    has_campaign: bool = False
    people: Sequence[PersonRow] = ()
    heads: Sequence[ColumnHead] = ()
    refreshed_at: datetime | None = None
    flagged_words: str = ""


@dataclass(frozen=True, slots=True)
class PersonPage(Page):
    """The statistics of a person, with intervals."""

    template = "quality/person.html"
    as_of: datetime
    campaign: dict[str, int]
    person: PersonRow
    statistics: Sequence[Statistic]
    measures: Sequence[Measure]
    confusion: HeatMap
    first_at: datetime
    last_at: datetime
    refreshed_at: datetime


Key = Callable[[PersonRow], Any]
# Code of a column: its heading, the same within a sentence, its sort key, and whether the largest
# values come first.
COLUMNS: dict[str, tuple[str, str, Key, bool]] = {
    "person": (mark("Person"), mark("person"), lambda row: row.name.text, False),
    "votes": (mark("Votes"), mark("votes"), lambda row: row.votes, True),
    "gold": (
        mark("Right on gold questions"),
        mark("right on gold questions"),
        lambda row: _sort_key(row.gold),
        False,
    ),
    "agreement": (
        mark("Agrees with others"),
        mark("agrees with others"),
        lambda row: _sort_key(row.agreement),
        False,
    ),
    "median": (mark("Median time"), mark("median time"), lambda row: row.median_ms or 0.0, False),
    "unsure": (mark("Unsure"), mark("unsure"), lambda row: row.unsure, True),
    "following": (mark("Copy rate"), mark("copy rate"), lambda row: row.copy_rate, True),
    "planted": (
        mark("Wrong suggestions copied"),
        mark("wrong suggestions copied"),
        lambda row: _sort_key(row.inserted),
        True,
    ),
    "information": (mark("Information"), mark("information"), lambda row: row.information, False),
    "standing": (
        mark("Status"),
        mark("status"),
        lambda row: (not row.flags, row.status != "paused"),
        False,
    ),
}


@bp.get("/quality", endpoint="quality")
@access.only("supervisor", "admin")
def quality_table() -> tuple[str, int]:
    """The quality of each person's answers."""
    with db().read() as session:
        campaign = current_campaign.campaign_or_none(session)
        if campaign is None:
            return render(QualityPage(utc_now()))
        return render(_table(session, campaign))


@bp.get("/quality/<id:annotator_id>")
@access.only("supervisor", "admin")
def person_quality(annotator_id: int) -> tuple[str, int]:
    """The quality of one person's answers in detail."""
    with db().read() as session:
        campaign = current_campaign.campaign(session)
        skill = session.get(Skill, (campaign.id, annotator_id))
        if skill is None:
            raise NotFound(_("There are no figures about this person in this campaign yet."))
        return render(_page(session, campaign, skill))


def person_row(
    annotator: Annotator,
    skill: Skill,
    votes: int,
    status: ParticipantStatus,
    query: Mapping[str, Any],
) -> PersonRow:
    """Return the statistics of a person, for the table and the person's page.

    Parameters:
        votes: how many votes count now. The other statistics are those of the last refresh.
        query: keeps the links on the campaign.
    """
    found = skill.figures
    evaluated = found["votes"]
    return PersonRow(
        name_person(annotator),
        url_for("quality.person_quality", annotator_id=annotator.id, **query),
        votes,
        format_share(found["gold"], found["gold_asked"]),
        format_share(found["agreement"], found["agreement_n"]),
        found["median_ms"],
        found["answers"]["unsure"] / evaluated if evaluated else 0.0,
        skill.copy_rate,
        format_share(found["planted"], found["planted_n"]),
        found["information"],
        status.status,
        status_words(status),
        write_reason(status.reason),
        [write_reason(sentence) for sentence in status.flags],
    )


def _sort_key(one: Share | None) -> float:
    return -1.0 if one is None else one.estimate


def _table(session: Session, campaign: Campaign) -> QualityPage:
    statuses = participation.list_statuses(session, campaign.id)
    found = list_skills(session, campaign.id)
    votes = count_votes(session, campaign.id)
    people = [
        person_row(person, skill, votes.get(person.id, 0), statuses[person.id], links(campaign))
        for person, skill in found
    ]
    code, order = _sorting()
    people.sort(key=COLUMNS[code][2], reverse=order == "descending")
    return QualityPage(
        utc_now(),
        links(campaign),
        has_campaign=True,
        people=people,
        heads=[_head(each, code, order) for each in COLUMNS],
        refreshed_at=max((skill.refreshed_at for _, skill in found), default=None),
        flagged_words=_flagged(people),
    )


def _flagged(people: Sequence[PersonRow]) -> str:
    flagged = sum(bool(row.flags) for row in people)
    return ngettext(
        "%(num)s of %(people)s people is flagged.",
        "%(num)s of %(people)s people are flagged.",
        flagged,
        people=write_number(len(people)),
    )


def _sorting() -> tuple[str, str]:
    """Return column and order of the address. Default: people with findings first."""
    code = request.args.get("sort", "standing")
    code = code if code in COLUMNS else "standing"
    order = request.args.get("order", _first_order(code))
    return code, order if order in ORDERS else _first_order(code)


def _first_order(code: str) -> str:
    return "descending" if COLUMNS[code][3] else "ascending"


def _head(code: str, chosen_code: str, chosen_order: str) -> ColumnHead:
    text, word = (_(each) for each in COLUMNS[code][:2])
    if code != chosen_code:
        return ColumnHead(code, text, word, "none", _first_order(code))
    return ColumnHead(code, text, word, chosen_order, ORDERS[chosen_order == ORDERS[0]])


def _page(session: Session, campaign: Campaign, skill: Skill) -> PersonPage:
    annotator = session.get_one(Annotator, skill.annotator_id)
    status = participation.list_statuses(session, campaign.id)[annotator.id]
    votes = count_votes(session, campaign.id, annotator.id).get(annotator.id, 0)
    row = person_row(annotator, skill, votes, status, links(campaign))
    found = skill.figures
    return PersonPage(
        utc_now(),
        links(campaign),
        row,
        [
            Statistic(_("votes"), write_number(row.votes)),
            Statistic(_("median time"), row.words["median"]),
            Statistic(_("unsure"), row.words["unsure"]),
            Statistic(_("information"), row.words["information"]),
        ],
        _measures(found),
        share_heat_map(
            _("Answers compared with the label"),
            pgettext("noun", "Label"),
            ANSWERS,
            list(zip(LABELS, found["confusion"], strict=True)),
        ),
        datetime.fromtimestamp(found["first_at"], UTC),
        datetime.fromtimestamp(found["last_at"], UTC),
        skill.refreshed_at,
    )


def _measures(found: Mapping[str, Any]) -> list[Measure]:
    return [
        Measure(
            _("Right on gold questions"),
            format_share(found["gold"], found["gold_asked"]),
            _("Gold questions that were shown without a deliberately wrong suggestion."),
        ),
        Measure(
            _("Agrees with the others"),
            format_share(found["agreement"], found["agreement_n"]),
            _(
                "Images whose label is nearly certain from the votes of others or from gold "
                "questions."
            ),
        ),
        *anchoring_measures(found["anchoring"]),
        inserted_measure(found["planted"], found["planted_n"]),
        side_measure(found["side"]),
    ]
