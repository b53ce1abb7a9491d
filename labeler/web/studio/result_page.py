"""What the page of a turned head shows: how far it is, or its result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from labeler.accounts.invites import is_local
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.base import utc_now
from labeler.models.studio import MAX_TURN_NAME, HeadTurn
from labeler.studio.files import result_folder, source_file
from labeler.studio.results import MEANS, REPORT, REPORT_PAGE, REPORTS, STRIP, TurnResult
from labeler.studio.turns import list_turns
from labeler.web.campaigns.forms import Choice
from labeler.web.context import Page, account, manages, settings
from labeler.web.formatting import format_bytes
from labeler.web.jobs import JobRow, find_job_row
from labeler.web.studio.engine import tell_engine, tell_refusal
from labeler.web.studio.files import address_of
from labeler.web.studio.shares import take_new_link
from labeler.web.studio.views import (
    TurnerView,
    TurnView,
    load_turner,
    new_turn_address,
    view_turn,
)
from labeler.web.studio.words import name_angle, name_measured_angle, state_of, write_degrees

OTHERS = 50  # results that can be chosen to compare with
DOWNLOADS = {
    STRIP: mark("Strip (PNG)"),
    "turn.gif": mark("Animation (GIF)"),
    "turn.webp": mark("Animation (WebP)"),
    "turn.mp4": mark("Video (MP4)"),
    REPORT_PAGE: mark("Report (HTML)"),
    REPORT: mark("Report (JSON)"),
}

LIGHT = {
    "left": mark("light from the left"),
    "center": mark("light from the front"),
    "right": mark("light from the right"),
}


@dataclass(frozen=True, slots=True)
class WaitingPage(Page):
    """A head that is to be turned. `state`: as in `words`; `job`: None if it is unknown.

    `reason`: why it could not be turned, or why its job begins anew; "" if neither.

    `can_retry`: its job can start again. `again`: the address of the form with the same settings.
    """

    template = "studio/waiting.html"
    as_of: datetime
    turn: TurnView
    state: str
    job: JobRow | None
    reason: str
    can_retry: bool
    new_name: str
    again: str
    problem: str = ""
    max_name: int = MAX_TURN_NAME


@dataclass(frozen=True, slots=True)
class Download:
    """A file that can be kept. `size`: in words, "" if it is made while it is sent."""

    text: str
    address: str
    size: str


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """A cluster. `mean`: the address of its mean face, "" if the result has none."""

    angle: str
    images: int
    mean_yaw: str
    half_width: str
    mean: str


@dataclass(frozen=True, slots=True)
class ResultView:
    """The files of a result, in words and addresses.

    `strip`: its address; `given_up`: what was dropped or widened to fill the clusters.
    """

    turner: TurnerView
    strip: str
    strip_size: tuple[int, int]
    clusters: Sequence[ClusterRow]
    shared: Sequence[str]
    given_up: Sequence[str]
    fallback: str
    downloads: Sequence[Download]


@dataclass(frozen=True, slots=True)
class ShareView:
    """The link of a result. `link`: "" unless it was just created.

    `is_local`: the link works only on the machine of the site.
    """

    since: datetime | None
    link: str
    is_local: bool


@dataclass(frozen=True, slots=True)
class ResultPage(Page):
    """A turned head. `result`: None if its files are gone. `others`: to compare it with.

    `command`: repeats it, "" if it is not known. Annotators do not see it: it names the folders of
    the server.
    """

    template = "studio/result.html"
    turn: TurnView
    result: ResultView | None
    share: ShareView
    others: Sequence[Choice]
    command: str
    new_name: str
    again: str
    problem: str = ""
    max_name: int = MAX_TURN_NAME


def waiting_page(
    session: Session, turn: HeadTurn, new_name: str | None = None, problem: str = ""
) -> WaitingPage:
    """Return the page of a head that is to be turned, with its form as it was sent."""
    job = find_job_row(session, turn.job_id) if turn.job_id else None
    return WaitingPage(
        utc_now(),
        view_turn(session, turn),
        state_of(turn, job.state if job else ""),
        job,
        tell_refusal(job.problem, turn) if job else "",
        job is not None and job.can_start_again and has_source(turn),
        turn.name if new_name is None else new_name,
        new_turn_address(turn),
        problem,
    )


def result_page(
    session: Session, turn: HeadTurn, new_name: str | None = None, problem: str = ""
) -> ResultPage:
    """Return the page of a turned head, with its form as it was sent."""
    link = take_new_link(turn.id)
    loaded = load_turner(turn)
    return ResultPage(
        view_turn(session, turn),
        _view_result(turn, *loaded) if loaded else None,
        ShareView(turn.shared_at, link, is_local(link)),
        _others(session, turn),
        _command(turn, loaded[0] if loaded else None) if manages() else "",
        turn.name if new_name is None else new_name,
        new_turn_address(turn),
        problem,
    )


def _command(turn: HeadTurn, result: TurnResult | None) -> str:
    return (turn.summary or {}).get("command") or (result.command if result else "")


def has_source(turn: HeadTurn) -> bool:
    """Return whether the source is still there. An upload goes with its job unless it is kept."""
    return turn.image_id is not None or source_file(settings().home, turn.id) is not None


def _view_result(turn: HeadTurn, result: TurnResult, turner: TurnerView) -> ResultView:
    return ResultView(
        turner,
        address_of(turn, "file", result_file=STRIP),
        turner.strip_size,
        list(_cluster_rows(turn, result)),
        list(_shared(result)),
        [tell_engine(one) for one in result.given_up],
        result.fallback,
        list(_downloads(turn, result)),
    )


def _shared(result: TurnResult) -> Iterator[str]:
    """Write what the clusters share with the source. Annotators do not learn its label."""
    if result.light and manages():
        yield _(LIGHT[result.light])
    yield from result.attributes


def _cluster_rows(turn: HeadTurn, result: TurnResult) -> Iterator[ClusterRow]:
    for number, one in enumerate(result.clusters):
        yield ClusterRow(
            name_angle(one.angle_deg),
            one.images,
            name_measured_angle(one.mean_yaw_deg),
            write_degrees(one.half_width_deg),
            address_of(turn, "mean", number=number) if MEANS in result.files else "",
        )


def _downloads(turn: HeadTurn, result: TurnResult) -> Iterator[Download]:
    folder = result_folder(settings().home, turn)
    for name, text in DOWNLOADS.items():
        if name in result.files and (manages() or name not in REPORTS):
            size = format_bytes((folder / name).stat().st_size)
            yield Download(
                _(text), address_of(turn, "file", result_file=name, download="yes"), size
            )
    yield Download(_("All files (ZIP)"), address_of(turn, "archive"), "")


def _others(session: Session, turn: HeadTurn) -> list[Choice]:
    """Return the newest other results, as options."""
    found = list_turns(session, account(), finished=True, limit=OTHERS + 1)
    return [Choice(str(one.id), one.name) for one in found if one.id != turn.id][:OTHERS]
