"""All that the votes say about one person in a campaign. For supervisors only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from labeler.domain.labels import ANSWERS, LABELS
from labeler.errors import NotFound
from labeler.models import Annotator, Campaign, Skill, utc_now
from labeler.services import participating
from labeler.web import access, chosen
from labeler.web.admin import bp, links
from labeler.web.heat import Heat, heat
from labeler.web.measures import Measure, anchoring_measures, planted_measure, side_measure
from labeler.web.numbers import share
from labeler.web.progress import Figure
from labeler.web.quality import PersonRow, person_row
from labeler.web.state import Page, db, render


@dataclass(frozen=True, slots=True)
class PersonPage(Page):
    """The figures of one person, with intervals."""

    template = "admin/person.html"
    as_of: datetime
    campaign: dict[str, int]
    person: PersonRow
    figures: Sequence[Figure]
    measures: Sequence[Measure]
    confusion: Heat
    first_at: datetime
    last_at: datetime
    refreshed_at: datetime


@bp.get("/quality/<id:annotator_id>")
@access.only("supervisor", "admin")
def person_quality(annotator_id: int) -> tuple[str, int]:
    """The quality of one person's answers in detail."""
    with db().read() as session:
        campaign = chosen.campaign(session)
        skill = session.get(Skill, (campaign.id, annotator_id))
        if skill is None:
            raise NotFound("There are no figures about this person in this campaign yet.")
        return render(_page(session, campaign, skill))


def _page(session: Session, campaign: Campaign, skill: Skill) -> PersonPage:
    annotator = session.get_one(Annotator, skill.annotator_id)
    standing = participating.list_standings(session, campaign.id)[annotator.id]
    row = person_row(annotator, skill, standing)
    found = skill.figures
    return PersonPage(
        utc_now(),
        links(campaign),
        row,
        [
            Figure("votes", f"{row.votes:,}"),
            Figure("median time", row.words["median"]),
            Figure("unsure", row.words["unsure"]),
            Figure("information", row.words["information"]),
        ],
        _measures(found),
        heat(
            "Answers compared with the label",
            "Label",
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
            "Right on gold questions",
            share(found["gold"], found["gold_asked"]),
            "Gold questions that were shown without a deliberately wrong suggestion.",
        ),
        Measure(
            "Agrees with the others",
            share(found["agreement"], found["agreement_n"]),
            "Images whose label is nearly certain from the votes of others or from gold questions.",
        ),
        *anchoring_measures(found["anchoring"]),
        planted_measure(found["planted"], found["planted_n"]),
        side_measure(found["side"]),
    ]
