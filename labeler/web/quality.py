"""How well each person answers, as a table. For supervisors only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import request
from sqlalchemy.orm import Session

from labeler.models import Annotator, Campaign, Skill, utc_now
from labeler.services import overview, participating
from labeler.services.participating import Standing
from labeler.web import access, chosen
from labeler.web.admin import bp, links
from labeler.web.numbers import Share, percent, seconds, share, signed
from labeler.web.state import Page, db, render

STANDINGS = {"training": "in qualification", "working": "working", "paused": "paused"}
ORDERS = ("ascending", "descending")


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person's figures; a share is None where it cannot be told yet."""

    id: int
    username: str
    pseudonym: str
    votes: int
    gold: Share | None
    agreement: Share | None
    median_ms: float | None
    unsure: float
    following: float
    planted: Share | None
    information: float
    standing: str
    standing_words: str
    reason: str
    flags: Sequence[str]

    @property
    def words(self) -> dict[str, str]:
        """The figures without an interval as they are written."""
        return {
            "median": seconds(self.median_ms),
            "unsure": percent(self.unsure),
            "following": percent(self.following),
            "information": signed(self.information),
        }


Key = Callable[[PersonRow], Any]


def _low(one: Share | None) -> float:
    return -1.0 if one is None else one.estimate


# Column: heading, key, whether a click first shows the largest.
COLUMNS: dict[str, tuple[str, Key, bool]] = {
    "person": ("Person", lambda row: row.username, False),
    "votes": ("Votes", lambda row: row.votes, True),
    "gold": ("Right on gold questions", lambda row: _low(row.gold), False),
    "agreement": ("Agrees with others", lambda row: _low(row.agreement), False),
    "median": ("Median time", lambda row: row.median_ms or 0.0, False),
    "unsure": ("Unsure", lambda row: row.unsure, True),
    "following": ("Copy rate", lambda row: row.following, True),
    "planted": ("Wrong suggestions copied", lambda row: _low(row.planted), True),
    "information": ("Information", lambda row: row.information, False),
    "standing": ("Status", lambda row: (not row.flags, row.standing != "paused"), False),
}


@dataclass(frozen=True, slots=True)
class ColumnHead:
    """A heading that sorts; `order` is none, ascending or descending."""

    code: str
    text: str
    order: str
    link_order: str


@dataclass(frozen=True, slots=True)
class QualityPage(Page):
    """One row a person."""

    template = "admin/quality.html"
    as_of: datetime
    campaign: dict[str, int] | None = None
    has_campaign: bool = False
    people: Sequence[PersonRow] = ()
    heads: Sequence[ColumnHead] = ()
    refreshed_at: datetime | None = None
    flagged: int = 0


@bp.get("/quality", endpoint="quality")
@access.only("supervisor", "admin")
def quality_table() -> tuple[str, int]:
    """The quality of each person's answers."""
    with db().read() as session:
        campaign = chosen.campaign_or_none(session)
        if campaign is None:
            return render(QualityPage(utc_now()))
        return render(_table(session, campaign))


def person_row(annotator: Annotator, skill: Skill, standing: Standing) -> PersonRow:
    """What the table and the person's page say of one person."""
    found = skill.figures
    votes = found["votes"]
    return PersonRow(
        annotator.id,
        annotator.username,
        annotator.pseudonym,
        votes,
        share(found["gold"], found["gold_asked"]),
        share(found["agreement"], found["agreement_n"]),
        found["median_ms"],
        found["answers"]["unsure"] / votes if votes else 0.0,
        skill.following,
        share(found["planted"], found["planted_n"]),
        found["information"],
        standing.standing,
        STANDINGS[standing.standing],
        standing.reason,
        standing.flags,
    )


def _table(session: Session, campaign: Campaign) -> QualityPage:
    standings = participating.list_standings(session, campaign.id)
    found = overview.list_skills(session, campaign.id)
    people = [person_row(person, skill, standings[person.id]) for person, skill in found]
    code, order = _sorting()
    people.sort(key=COLUMNS[code][1], reverse=order == "descending")
    return QualityPage(
        utc_now(),
        links(campaign),
        has_campaign=True,
        people=people,
        heads=[_head(each, code, order) for each in COLUMNS],
        refreshed_at=max((skill.refreshed_at for _, skill in found), default=None),
        flagged=sum(bool(row.flags) for row in people),
    )


def _sorting() -> tuple[str, str]:
    """Column and order that the address asks for; first those who need a look."""
    code = request.args.get("sort", "standing")
    code = code if code in COLUMNS else "standing"
    order = request.args.get("order", _first_order(code))
    return code, order if order in ORDERS else _first_order(code)


def _first_order(code: str) -> str:
    return "descending" if COLUMNS[code][2] else "ascending"


def _head(code: str, chosen_code: str, chosen_order: str) -> ColumnHead:
    if code != chosen_code:
        return ColumnHead(code, COLUMNS[code][0], "none", _first_order(code))
    return ColumnHead(code, COLUMNS[code][0], chosen_order, ORDERS[chosen_order == ORDERS[0]])
