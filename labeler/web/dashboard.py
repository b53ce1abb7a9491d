"""The overview of a campaign: progress, forecast, labels so far, and people at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from flask import Blueprint, redirect, request, url_for
from markupsafe import Markup
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.gold.service import count_gold
from labeler.images import datasets
from labeler.labels import ANSWERS
from labeler.languages.numbers import write_day, write_number, write_short_day
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext, pgettext, translate
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.progress import campaign_progress
from labeler.progress import throughput as progress_throughput
from labeler.progress.campaign_progress import CampaignProgress
from labeler.progress.first_steps import count_people
from labeler.progress.throughput import PERIODS, Forecast, Throughput
from labeler.proposals import runs
from labeler.proposals.runs import current_run
from labeler.statistics.intervals import Interval
from labeler.web import access, current_campaign, first_steps, request_fields
from labeler.web.browser_cookies import time_zone
from labeler.web.context import Page, db, render
from labeler.web.current_campaign import links
from labeler.web.first_steps import Checklist, checklist
from labeler.web.formatting import Statistic, answer_word, format_duration, format_whole
from labeler.web.jobs import JobRow, list_open_jobs
from labeler.web.plots import Plot, draw_columns
from labeler.web.progress import CountRow
from labeler.web.proposals.views import RunRow, RunState, run_row, run_state
from rotation.data.labels import LABELS

bp = Blueprint("dashboard", __name__, url_prefix="/admin")
PERIOD_LINKS = {"10min": mark("per 10 minutes"), "hour": mark("per hour"), "day": mark("per day")}
PLOT_TITLES = {
    "10min": mark("Votes per 10 minutes"),
    "hour": mark("Votes per hour"),
    "day": mark("Votes per day"),
}
ENDS = mark("Without breaks, the campaign ends at %(end)s.")
ENDS_BY = mark("Without breaks, the campaign ends at %(end)s, or at %(late)s at the latest.")
TICK_EVERY = {"10min": 6, "hour": 12, "day": 7}  # columns between two ticks


@dataclass(frozen=True, slots=True)
class LabelCount:
    """A label, the number of images agreed on it, and the share that the model expects."""

    word: str
    count: int
    expected: float | None


@dataclass(frozen=True, slots=True)
class PeriodLink:
    """A length of the time bins to choose for the plot."""

    code: str
    text: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class OverviewPage(Page):
    """The state of a campaign; without a campaign, what to do first.

    `run`: the model run whose proposals are shown. `latest`: the last run, if it is another one.
    `is_alone`: nobody else has an account or an open invite.
    """

    template = "dashboard/overview.html"
    as_of: datetime
    heading: str
    campaign: dict[str, int] | None = None  # query values of links
    has_campaign: bool = False
    paused: bool = False
    statistics: Sequence[Statistic] = ()
    finished: int = 0
    total: int = 0
    votes: int = 0
    undecided: int = 0
    broken: int = 0
    active_people: int = 0
    forecast: Sequence[str] = ()
    labels: Sequence[LabelCount] = ()
    answers: Sequence[CountRow] = ()
    throughput: Plot | None = None
    periods: Sequence[PeriodLink] = ()
    run: RunRow | None = None
    latest: RunRow | None = None
    jobs: Sequence[JobRow] = ()
    state: RunState | None = None
    first_steps: Checklist | None = None
    is_alone: bool = False


@bp.get("/", endpoint="overview")
@access.only("supervisor", "admin")
def overview_page() -> tuple[str, int]:
    """The overview for supervisors: what runs, and what needs attention."""
    with db().read() as session:
        campaign = current_campaign.campaign_or_none(session)
        if campaign is None:
            return render(OverviewPage(utc_now(), _("Overview"), first_steps=checklist(session)))
        return render(_overview(session, campaign, utc_now()))


@bp.post("/first-steps")
@access.only("supervisor", "admin")
def set_first_steps() -> Response:
    """Hide the checklist of the first steps, or show it again."""
    hidden = request_fields.text("hidden") == "yes"
    with db().write() as session:
        first_steps.set_hidden(session, hidden)
    return redirect(url_for("dashboard.overview"), 303)


def _overview(session: Session, campaign: Campaign, now: datetime) -> OverviewPage:
    done = campaign_progress.campaign_progress(session, campaign.id)
    period = request.args.get("per", "10min")
    period = period if period in PERIODS else "10min"
    zone = time_zone() if period == "day" else UTC
    pace = progress_throughput.count_throughput(session, campaign.id, period, zone=zone, now=now)
    active = progress_throughput.count_active(session, campaign.id, now=now)
    forecast = progress_throughput.make_forecast(
        session, campaign.id, campaign.parsed_rules, done, now=now
    )
    run = current_run(session, campaign.dataset_id)
    latest = runs.latest_run(session, campaign.dataset_id)
    return OverviewPage(
        now,
        campaign.name,
        links(campaign),
        has_campaign=True,
        paused=campaign.paused_at is not None,
        statistics=_statistics(campaign, done, sum(count_gold(session, campaign.id).values())),
        finished=done.agreed + done.contested,
        total=done.images,
        votes=done.votes,
        undecided=done.undecided,
        broken=datasets.count_broken(session, campaign.dataset_id),
        active_people=active,
        forecast=_forecast(done, forecast, active, now),
        labels=_expectations(done, run.metrics.get("mean_probabilities") if run else None),
        answers=[CountRow(answer_word(one), done.answers.get(one, 0)) for one in ANSWERS],
        throughput=_plot(pace, period, zone),
        periods=[PeriodLink(code, _(PERIOD_LINKS[code]), code == period) for code in PERIODS],
        run=run_row(run) if run else None,
        latest=run_row(latest) if latest and latest is not run else None,
        jobs=list_open_jobs(session),
        state=run_state(session, campaign, done.votes),
        first_steps=checklist(session),
        is_alone=not count_people(session),
    )


def _statistics(campaign: Campaign, done: CampaignProgress, gold: int) -> list[Statistic]:
    def behind(**wanted: Any) -> str:
        return url_for("image_browser.images", **links(campaign), **wanted)

    return [
        Statistic(_("votes"), write_number(done.votes)),
        Statistic(pgettext("images", "agreed"), write_number(done.agreed), behind(status="agreed")),
        Statistic(
            pgettext("images", "contested"),
            write_number(done.contested),
            behind(status="contested"),
        ),
        Statistic(pgettext("images", "open"), write_number(done.open), behind(status="open")),
        Statistic(_("gold questions"), write_number(gold), behind(gold="yes")),
    ]


def _forecast(done: CampaignProgress, forecast: Forecast, active: int, now: datetime) -> list[str]:
    """Write the forecast: the votes needed, the pace, and the end."""
    if not done.images:
        return [_("The campaign has no images yet.")]
    if not done.open:
        return [_("All images are finished.")]
    each = forecast.needed.estimate / done.open
    needed = {"votes": format_whole(forecast.needed), "each": write_number(each, 1)}
    said = [
        _("About %(votes)s more votes are needed, %(each)s for each open image.", **needed)
        if forecast.needed.low < forecast.needed.high
        else _("%(votes)s more votes are needed, %(each)s for each open image.", **needed)
    ]
    if forecast.hours is None:
        return [
            *said,
            _("There were no votes in the last hours, so the remaining time cannot be estimated."),
        ]
    said.append(_work_left(forecast.hours, forecast.per_hour))
    if not active:
        said.append(_("Nobody is working right now."))
    elif forecast.hours.high < 12:
        said.append(_end(now, forecast.hours))
    return said


def _work_left(hours: Interval, pace: Interval) -> str:
    low, middle, high = map(format_duration, (hours.low, hours.estimate, hours.high))
    said = _(
        "At the pace of the last hours, %(pace)s votes per hour, this takes %(time)s of work.",
        pace=write_number(pace.estimate),
        time=middle,
    )
    if low == high:
        return said
    interval = _("The 95 %% interval is %(low)s to %(high)s.", low=low, high=high)
    return f"{said} {interval}"


def _end(now: datetime, hours: Interval) -> Markup:
    end, late = (now + timedelta(hours=value) for value in (hours.estimate, hours.high))
    known = f"{end:%H:%M}" == f"{late:%H:%M}"
    text = Markup(translate(ENDS if known else ENDS_BY))  # nosec B704  # a text of the site
    return text % {"end": _clock(end), "late": _clock(late)}


def _clock(moment: datetime) -> Markup:
    """Write the time of day, which the browser shows in its own time zone."""
    return Markup('<time datetime="{}" data-shown="clock">{:%H:%M} UTC</time>').format(
        moment.isoformat(), moment
    )


def _expectations(done: CampaignProgress, expected: dict[str, float] | None) -> list[LabelCount]:
    shares = expected or {}
    return [LabelCount(label, done.labels.get(label, 0), shares.get(label)) for label in LABELS]


def _plot(pace: Throughput, period: str, zone: tzinfo) -> Plot:
    """Draw the throughput. Days are those of the time zone, and the browser writes other times."""
    n = len(pace.starts)
    starts = [start.astimezone(zone) for start in pace.starts]
    utc = " (UTC)" if zone is UTC else ""
    ticks = [
        (place, _tick(starts[place], period))
        for place in range((n - 1) % TICK_EVERY[period], n, TICK_EVERY[period])
    ]
    along = pgettext("axis", "day") + utc if period == "day" else _("time of day (UTC)")
    return draw_columns(
        (_(PLOT_TITLES[period]), along),
        _plot_summary(sum(pace.counts), max(pace.counts), period),
        pace.counts,
        [write_day(one) if period == "day" else _moment(one) for one in starts],
        ticks,
        (pgettext("time", "From") + utc, _("Votes")),
        () if period == "day" else pace.starts,
    )


def _tick(start: datetime, period: str) -> str:
    if period == "10min":
        return f"{start:%H:%M}"
    day = write_short_day(start)
    return day if period == "day" else f"{day} {start:%H:%M}"


def _moment(start: datetime) -> str:
    return f"{write_day(start)}, {start:%H:%M}"


def _plot_summary(total: int, most: int, period: str) -> str:
    highest = write_number(most)
    if period == "10min":
        return ngettext(
            "%(num)s vote in all, at most %(most)s per 10 minutes.",
            "%(num)s votes in all, at most %(most)s per 10 minutes.",
            total,
            most=highest,
        )
    if period == "hour":
        return ngettext(
            "%(num)s vote in all, at most %(most)s per hour.",
            "%(num)s votes in all, at most %(most)s per hour.",
            total,
            most=highest,
        )
    return ngettext(
        "%(num)s vote in all, at most %(most)s per day.",
        "%(num)s votes in all, at most %(most)s per day.",
        total,
        most=highest,
    )
