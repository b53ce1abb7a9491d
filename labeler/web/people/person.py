"""The page of one person: status, pace, quality, answers with their images, and the account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.accounts.directory import last_seen
from labeler.accounts.reset_links import RESET_HOURS
from labeler.campaigns import participation
from labeler.campaigns import service as campaigns
from labeler.campaigns.period import is_changeable
from labeler.errors import NotFound
from labeler.flags.service import PlacedFlag, flags_of_person
from labeler.labels import ANSWERS
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.messages.service import MAX_LENGTH, count_from_person
from labeler.models.accounts import ROLES, Annotator
from labeler.models.base import MAX_VOTE_ID, utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Skill
from labeler.progress import annotator_progress
from labeler.returns import service as returns
from labeler.voting.answers import AnswerFilter, GivenAnswer, list_answers
from labeler.web import access, request_fields
from labeler.web.campaigns.forms import Choice
from labeler.web.confirmation import tell
from labeler.web.context import Page, account, actor, db, own_address, render
from labeler.web.current_campaign import campaign as chosen_campaign
from labeler.web.current_campaign import campaign_or_none, links, page_query
from labeler.web.flags import FlagRow, flag_row
from labeler.web.formatting import Statistic, format_percent, format_seconds, format_share
from labeler.web.image_address import image_address
from labeler.web.people.account import take_reset_link
from labeler.web.people.overview import StatusRow, account_state, state_words, status_row
from labeler.web.person_name import PersonName, name_person, sees_names
from labeler.web.voting import TILE_ROOM, scaled_size

bp = Blueprint("person", __name__, url_prefix="/admin")
PAGE = 48
FLAGS_SHOWN = 20
ON_GOLD = (
    ("any", mark("on gold questions")),
    ("right", mark("right on gold")),
    ("wrong", mark("wrong on gold")),
)


@dataclass(frozen=True, slots=True)
class AnswerTile:
    """An answer and its image. `returned`: the id of the returned answer that waits, 0 without.

    `label`: the consensus in words. `gold`: the known label. `differs`: another label than the
    consensus.
    """

    vote_id: int
    address: str
    url: str
    width: int
    height: int
    filename: str
    answer: str
    label: str
    gold: str
    differs: bool
    seconds: str
    at: datetime
    returned: int


@dataclass(frozen=True, slots=True)
class CampaignPart:
    """What the page says of the person in a campaign. `next`, `first`: addresses of answers.

    `id`: forms name the campaign, so that they act in no other one if another campaign has become
    active meanwhile.
    `measures`: the address of the measures of quality, "" before the first refresh. `changeable`:
    answers can be changed now, so they can also be sent back.
    """

    id: int
    name: str
    choices: Sequence[Choice]
    status: StatusRow
    trains: bool
    statistics: Sequence[Statistic]
    measures: str
    wanted: AnswerFilter
    tiles: Sequence[AnswerTile]
    changeable: bool
    next: str
    first: str
    flags: Sequence[FlagRow]


@dataclass(frozen=True, slots=True)
class PersonPage(Page):
    """A person. `part`: None without a campaign. `username`: "" if the reader sees no names.

    `unread`: messages of the person that no supervisor has read. `link`: for a new password, just
    created. `manages`: the reader may change the account. `here`, `everybody`: the addresses of
    this page and of the list of people.
    """

    template = "people/person.html"
    name: PersonName
    username: str
    pseudonym: str
    role: str
    state: str
    state_words: str
    created_at: datetime
    last_seen_at: datetime | None
    unread: int
    manages: bool
    link: str
    part: CampaignPart | None
    here: str
    everybody: str
    answers: Sequence[str] = ANSWERS
    on_gold: Sequence[tuple[str, str]] = ON_GOLD
    roles: Sequence[str] = ROLES
    link_hours: int = RESET_HOURS
    max_message: int = MAX_LENGTH


@bp.get("/people/<id:annotator_id>")
@access.only("supervisor", "admin")
def show(annotator_id: int) -> tuple[str, int]:
    """One person, and the answers that a filter finds."""
    wanted = AnswerFilter(
        answer=request.args.get("answer", ""),
        gold=request.args.get("gold", ""),
        differs=request.args.get("differs") == "yes",
    )
    with db().read() as session:
        annotator = session.get(Annotator, annotator_id)
        if annotator is None:
            raise NotFound(
                _(
                    "The account with the number %(annotator_id)s does not exist.",
                    annotator_id=annotator_id,
                )
            )
        campaign = campaign_or_none(session)
        part = _part(session, annotator, campaign, wanted) if campaign else None
        page = _page(session, annotator, part)
    return render(page)


@bp.post("/people/<id:annotator_id>/pause")
@access.only("supervisor", "admin")
def pause(annotator_id: int) -> Response:
    """Pause a person in a campaign. The person sees the reason."""
    with db().write() as session:
        participation.pause_person(
            session,
            chosen_campaign(session).id,
            annotator_id,
            request_fields.text("reason"),
            actor(),
        )
    return _back(
        annotator_id,
        _("This person is paused and gets no new images. They can read the reason and answer it."),
    )


@bp.post("/people/<id:annotator_id>/resume")
@access.only("supervisor", "admin")
def resume(annotator_id: int) -> Response:
    """End a pause or a qualification."""
    with db().write() as session:
        participation.resume_person(session, chosen_campaign(session).id, annotator_id, actor())
    return _back(annotator_id, _("This person can label again."))


@bp.post("/people/<id:annotator_id>/train")
@access.only("supervisor", "admin")
def train(annotator_id: int) -> Response:
    """Require a person to pass the qualification again."""
    with db().write() as session:
        participation.send_to_qualification(
            session, chosen_campaign(session).id, annotator_id, actor()
        )
    return _back(annotator_id, _("This person has to pass the qualification before labelling."))


def _back(annotator_id: int, text: str) -> Response:
    tell(text)
    number = request_fields.row_number("campaign")
    query: dict[str, Any] = {"campaign": number} if number else {}
    return redirect(url_for("person.show", annotator_id=annotator_id, **query), 303)


def _page(session: Session, annotator: Annotator, part: CampaignPart | None) -> PersonPage:
    return PersonPage(
        name_person(annotator),
        annotator.username if sees_names() else "",
        annotator.pseudonym,
        annotator.role,
        account_state(annotator),
        state_words(annotator),
        annotator.created_at,
        last_seen(session, [annotator.id]).get(annotator.id),
        count_from_person(session, annotator.id),
        account().role == "admin",
        take_reset_link(annotator.id),
        part,
        own_address(),
        url_for("people.people", **page_query()),
    )


def _part(
    session: Session, annotator: Annotator, campaign: Campaign, wanted: AnswerFilter
) -> CampaignPart:
    before = request_fields.row_number("before", MAX_VOTE_ID)
    found = list_answers(session, annotator.id, campaign.id, wanted, before=before, limit=PAGE + 1)
    shown, query = found[:PAGE], _query(campaign, wanted)
    waiting = returns.waiting_ids(session, [one.vote.id for one in shown])
    status = participation.list_statuses(session, campaign.id, [annotator.id])[annotator.id]
    skill = session.get(Skill, (campaign.id, annotator.id))

    def address(**place: Any) -> str:
        return url_for("person.show", annotator_id=annotator.id, **query, **place)

    return CampaignPart(
        campaign.id,
        campaign.name,
        [
            Choice(str(one.id), one.name, "yes" if one.id == campaign.id else "")
            for one in campaigns.list_campaigns(session)
        ],
        status_row(status),
        campaign.parsed_rules.training > 0,
        _statistics(session, annotator.id, campaign.id, skill),
        url_for("quality.person_quality", annotator_id=annotator.id, **links(campaign))
        if skill
        else "",
        wanted,
        [_tile(campaign, one, waiting.get(one.vote.id, 0)) for one in shown],
        is_changeable(campaign, utc_now()),
        address(before=shown[-1].vote.id) if len(found) > PAGE else "",
        address() if before else "",
        _flags(session, annotator.id, campaign.id),
    )


def _query(campaign: Campaign, wanted: AnswerFilter) -> dict[str, Any]:
    """Return the filter and the campaign as values of an address."""
    chosen = {"answer": wanted.answer, "gold": wanted.gold, "differs": "yes" * wanted.differs}
    return {**links(campaign), **{name: value for name, value in chosen.items() if value}}


def _statistics(
    session: Session, annotator_id: int, campaign_id: int, skill: Skill | None
) -> list[Statistic]:
    """Return pace from the votes, and gold and agreement from the last refresh."""
    pace = annotator_progress.own_pace(session, annotator_id, campaign_id, now=utc_now())
    found = skill.figures if skill else {}
    figures = [Statistic(_("answers"), write_number(sum(pace.answers.values())))]
    if pace.median_s is not None:
        figures.append(Statistic(_("median time"), format_seconds(1000 * pace.median_s)))
    if pace.per_hour is not None:
        figures.append(Statistic(_("answers per hour today"), write_number(pace.per_hour)))
    if found.get("gold_asked"):
        known = _(
            "%(part)s of %(whole)s",
            part=write_number(found["gold_right"]),
            whole=write_number(found["gold_asked"]),
        )
        figures.append(Statistic(_("right on gold questions"), known))
    agreement = format_share(found.get("agreement"), found.get("agreement_n"))
    if agreement is not None:
        figures.append(Statistic(_("agrees with the others"), format_percent(agreement.estimate)))
    return figures


def _tile(campaign: Campaign, one: GivenAnswer, returned: int) -> AnswerTile:
    image, row, vote = one.image, one.consensus, one.vote
    label = row.label if row else None
    size = scaled_size(image.width or 0, image.height or 0, TILE_ROOM)
    return AnswerTile(
        vote.id,
        url_for("image_history.image", image_id=image.id, **links(campaign)),
        image_address(image.id, image.sha256) if image.status != "broken" else "",
        *size,
        image.filename,
        vote.answer,
        f"{_(label)}, {format_percent(row.probability)}" if row and label else _status(one),
        one.gold or "",
        bool(label and vote.answer not in (label, "unsure")),
        "" if vote.elapsed_ms is None else format_seconds(vote.elapsed_ms),
        vote.created_at,
        returned,
    )


def _status(one: GivenAnswer) -> str:
    return _(one.consensus.status) if one.consensus else _("not in the campaign")


def _flags(session: Session, annotator_id: int, campaign_id: int) -> list[FlagRow]:
    found: Sequence[PlacedFlag] = flags_of_person(
        session, annotator_id, campaign_id, limit=FLAGS_SHOWN
    )
    return [flag_row(one) for one in found]
