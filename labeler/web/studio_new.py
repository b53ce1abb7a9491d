"""The form of the studio: choose a source, see the clusters, turn the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from flask import Blueprint, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.campaigns.service import list_campaigns
from labeler.errors import InvalidInput, NotFound, SidelightError
from labeler.jobs import kinds, queue
from labeler.jobs.turning import count_open, order_turn
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.models.campaigns import Campaign
from labeler.models.images import MAX_FILENAME, Image
from labeler.models.studio import HeadTurn
from labeler.rules.validation import read_whole
from labeler.studio import files
from labeler.studio.choices import AUTO, SIZES, TurnChoices
from labeler.studio.preview import ClusterPreview, PreviewSource, load_source, preview_clusters
from labeler.studio.sources import check_upload, find_source
from labeler.studio.turns import NewTurn, get_turn
from labeler.web import access, confirmation, current_campaign, request_fields
from labeler.web.campaign_forms import Choice
from labeler.web.context import Account, Page, account, actor, db, manages, render, settings
from labeler.web.formatting import answer_word, format_percent
from labeler.web.images import image_address
from labeler.web.stored_problems import file_problem
from labeler.web.studio_access import viewer
from labeler.web.studio_form import (
    MAX_NAME,
    StudioForm,
    check_sizes,
    empty_form,
    form_of_turn,
    light_choices,
    parse_choices,
    sent_form,
    way_choices,
)
from labeler.web.subset_choice import subset_choices
from labeler.web.voting import scaled_size
from rotation.clusters.selection import DEFAULT_ATTRIBUTES

bp = Blueprint("studio_new", __name__, url_prefix="/studio")
ROOM = (267, 327)  # for the source, in pixels: one and a half times CelebA
# Of a turn of seven frames on two free processors: 8.4 minutes of processor time, and 0.9.
FIRST_MINUTES, NEXT_MINUTES = 5, 1
MARGIN = 20  # characters that the usual name of a turn adds, in any language


@dataclass(frozen=True, slots=True)
class SourceView:
    """The source, if it is an image of the data set.

    `light`: its label with its probability, "" if it has none or the reader may not see it.
    """

    id: int
    filename: str
    url: str
    width: int
    height: int
    labelled: bool
    light: str
    yaw: str


@dataclass(frozen=True, slots=True)
class PreviewView:
    """The clusters, and what would help if some are too small.

    `counted`: None if a choice is wrong, as `problem` says, or if nothing is counted yet.
    `manages`: whether the reader may see labels and have poses measured.
    """

    counted: ClusterPreview | None
    manages: bool = False
    measuring: bool = False
    dataset_id: int = 0
    wants_proposals: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class NewTurnPage(Page):
    """The form, and the clusters that it would use. `waiting`: how many turns the person has."""

    template = "studio/new.html"
    form: StudioForm
    campaign: Campaign
    campaigns: Sequence[Choice]
    subsets: Sequence[Choice]
    source: SourceView | None
    attributes: Sequence[str]
    more_attributes: Sequence[str]
    preview: PreviewView
    waiting: int
    most: int
    back: str
    problem: str = ""
    lights: Sequence[tuple[str, str]] = field(default_factory=lambda: [*light_choices().items()])
    ways: Sequence[tuple[str, str]] = field(default_factory=lambda: [*way_choices().items()])
    sizes: Sequence[int] = SIZES
    max_name: int = MAX_NAME
    minutes: tuple[int, int] = (FIRST_MINUTES, NEXT_MINUTES)


@dataclass(frozen=True, slots=True)
class PreviewPart(Page):
    """The clusters alone, which the script of the form asks for."""

    template = "studio/preview.html"
    preview: PreviewView
    form: StudioForm
    back: str


@bp.get("/new")
@access.signed_in
def new_turn() -> tuple[str, int]:
    """The form that turns a head; `image=NUMBER` or `turn=NUMBER` fill it.

    A turn also chooses its campaign, unless the address names one.
    """
    me = viewer()
    image_id, turn_id = request_fields.row_number("image"), request_fields.row_number("turn")
    with db().read() as session:
        turn = get_turn(session, turn_id, me) if turn_id else None
        form = form_of_turn(turn) if turn is not None else empty_form()
        if image_id:
            form.values["source"] = str(image_id)
        campaign = _campaign_of_turn(session, turn) or _campaign(session)
        # Counting takes a third of a second for all of CelebA: the script asks for it afterwards.
        return render(_page(session, campaign, form, counted=False))


@bp.post("/preview")
@access.signed_in
@request_fields.accepts_uploads
def preview() -> tuple[str, int]:
    """The clusters that a form would use."""
    viewer()
    form = sent_form()
    with db().read() as session:
        campaign = _campaign(session)
        source = _find(session, campaign, form)
        view = _preview(session, campaign, source, form)
        return render(PreviewPart(view, form, _back(source)))


@bp.post("/new")
@access.signed_in
@request_fields.accepts_uploads
def create_turn() -> tuple[str, int] | Response:
    """Turn a head, or change one choice of the form and show it again."""
    me = viewer()
    form = sent_form()
    if _change(form):
        with db().read() as session:
            return render(_page(session, _campaign(session), form))
    try:
        turn_id = _order(form, me)
    except SidelightError as error:
        problem = "" if form.problems else error.message
        with db().read() as session:
            return render(_page(session, _campaign(session), form, problem), error.status)
    confirmation.tell(_("The head is waiting to be turned."))
    return redirect(url_for("studio_results.show", turn_id=turn_id), 303)


def _change(form: StudioForm) -> bool:
    """Apply the button that was pressed, if it changes a choice; False for the one that turns."""
    dropped, change = request.form.get("drop"), request.form.get("change")
    if dropped:
        form.attributes = [name for name in form.attributes if name != dropped]
    elif change == "any-light":
        form.values["filter"] = "any"
    elif change == "proposals":
        form.values["proposals"] = "yes"
    return dropped is not None or change is not None


def _order(form: StudioForm, me: Account) -> int:
    choices = parse_choices(form)
    if choices is not None:
        check_sizes(form, choices)
    name, data = _uploaded(form)
    with db().read() as session:
        campaign = _campaign(session)
        source = _find(session, campaign, form) if data is None else None
        subset_id = _subset(session, campaign, form)
        if data is None and source is None and "source" not in form.problems:
            form.problems["source"] = _("Choose a picture of the data set, or one of your own.")
        if choices is not None:
            _check_light(session, campaign, source, form, choices)
    if form.problems or choices is None:
        raise InvalidInput(_("The form needs corrections."))
    shown = source.filename if source else name
    wanted = NewTurn(
        form.get("name") or _usual_name(shown),
        shown,
        _known_attributes(choices, source is not None),
        campaign.dataset_id,
        campaign.id,
        source.id if source else None,
        subset_id,
        form.is_on("keep") and data is not None,
    )
    return order_turn(db(), settings(), wanted, me.id, actor(), _keep(name, data))


def _usual_name(source: str) -> str:
    return _("%(name)s turned", name=PurePosixPath(source).stem[: MAX_NAME - MARGIN])


def _known_attributes(choices: TurnChoices, is_image: bool) -> dict[str, object]:
    """The choices as JSON values; nothing is known of the attributes of an upload."""
    return {**choices.as_dict(), **({} if is_image else {"attributes": []})}


def _keep(name: str, data: bytes | None) -> Path | None:
    if data is None:
        return None
    return files.keep_upload(settings().home, data, PurePosixPath(name).suffix.lower())


def _uploaded(form: StudioForm) -> tuple[str, bytes | None]:
    """Return name and bytes of the uploaded picture, if there is one."""
    file = request.files.get("upload")
    if file is None or not file.filename:
        return "", None
    name = file.filename.replace("\\", "/").rpartition("/")[2].replace("\0", "")[-MAX_FILENAME:]
    if form.get("source"):
        form.problems["upload"] = _("Empty the field of the file name, or choose no picture here.")
        return name, b""
    try:
        return name, check_upload(file.stream.read(), name)
    except SidelightError as error:
        form.problems["upload"] = error.message
        return name, b""


def _check_light(
    session: Session,
    campaign: Campaign,
    source: Image | None,
    form: StudioForm,
    choices: TurnChoices,
) -> None:
    """Note a problem if nothing tells the light, or the yaw, of the source."""
    known = load_source(session, campaign, source) if source is not None else PreviewSource()
    if choices.light_filter and choices.light == AUTO and not known.label:
        form.problems["light"] = _(
            "Say where its light comes from: the picture has no label. Or use pictures of any "
            "light."
        )
    if source is not None and choices.yaw_deg is None and source.yaw_deg is None:
        form.problems["yaw"] = _("Enter how far the head is turned: its yaw is not known.")


def _subset(session: Session, campaign: Campaign, form: StudioForm) -> int | None:
    try:
        number = request_fields.optional_row("subset")
    except InvalidInput as error:
        form.problems["subset"] = error.message
        return None
    allowed = {one.value for one in subset_choices(session, campaign.dataset_id)}
    if number is not None and str(number) not in allowed:
        form.problems["subset"] = _("This subset does not exist any more. Choose another one.")
        return None
    return number


def _campaign(session: Session) -> Campaign:
    found = current_campaign.campaign(session)
    if not _is_usable(found):
        raise NotFound(_(current_campaign.NO_CAMPAIGN))
    return found


def _campaign_of_turn(session: Session, turn: HeadTurn | None) -> Campaign | None:
    """Return the campaign of a turn; None if the address names one, or if it cannot be used."""
    if turn is None or turn.campaign_id is None or request_fields.row_number("campaign"):
        return None
    found = session.get_one(Campaign, turn.campaign_id)
    return found if _is_usable(found) else None


def _is_usable(campaign: Campaign) -> bool:
    return campaign.deleted_at is None and (manages() or campaign.active)


def _find(session: Session, campaign: Campaign, form: StudioForm) -> Image | None:
    """Return the source that the form names; None if it names none or a wrong one."""
    if not form.get("source"):
        return None
    try:
        found = find_source(session, campaign.dataset_id, form.get("source"))
    except SidelightError as error:
        form.problems["source"] = error.message
        return None
    if found.status != "broken":
        return found
    form.problems["source"] = _(
        "%(name)s cannot be turned: %(problem)s",
        name=found.filename,
        problem=file_problem(found.problem, found.filename),
    )
    return None


def _page(
    session: Session,
    campaign: Campaign,
    form: StudioForm,
    problem: str = "",
    *,
    counted: bool = True,
) -> NewTurnPage:
    current_campaign.show(campaign)
    source = _find(session, campaign, form)
    known = campaign.dataset.attribute_names
    usual = [name for name in DEFAULT_ATTRIBUTES if name in known]
    return NewTurnPage(
        form,
        campaign,
        _campaign_choices(session, campaign),
        subset_choices(session, campaign.dataset_id, read_whole(form.get("subset"))),
        _source_view(session, campaign, source) if source is not None else None,
        usual,
        [name for name in known if name not in usual],
        _preview(session, campaign, source, form) if counted else PreviewView(None),
        count_open(session, account().id),
        settings().turns_per_person,
        _back(source),
        problem,
    )


def _campaign_choices(session: Session, chosen: Campaign) -> list[Choice]:
    found = [one for one in list_campaigns(session) if manages() or one.active]
    if chosen not in found:
        found = [chosen, *found]
    return [Choice(str(one.id), one.name, "yes" if one is chosen else "") for one in found]


def _source_view(session: Session, campaign: Campaign, source: Image) -> SourceView:
    known = load_source(session, campaign, source)
    size = scaled_size(source.width or 0, source.height or 0, ROOM)
    return SourceView(
        source.id,
        source.filename,
        image_address(source.id, source.sha256) if source.status != "broken" else "",
        *size,
        bool(known.label),
        _light_words(known) if manages() else "",
        "" if source.yaw_deg is None else f"{write_number(source.yaw_deg)}°",
    )


def _light_words(known: PreviewSource) -> str:
    if not known.label:
        return ""
    word = answer_word(known.label)
    if known.probability is None:
        return word
    return _("%(label)s, %(share)s sure", label=word, share=format_percent(known.probability))


def _preview(
    session: Session, campaign: Campaign, source: Image | None, form: StudioForm
) -> PreviewView:
    """Count the clusters of a form. Its problems stay those of the form that was sent."""
    choices = parse_choices(StudioForm(form.values, form.attributes))
    if choices is None:
        return PreviewView(None, problem=_("Correct the form to see the pictures at each angle."))
    known = load_source(session, campaign, source) if source is not None else PreviewSource()
    try:
        subset_id = request_fields.optional_row("subset")
        counted = preview_clusters(session, campaign, known, choices, subset_id)
    except SidelightError as error:
        return PreviewView(None, problem=error.message)
    measuring = queue.is_open(session, kinds.measure_poses.name, campaign.dataset_id)
    return PreviewView(
        counted, manages(), measuring, campaign.dataset_id, not choices.with_proposals
    )


def _back(source: Image | None) -> str:
    return url_for("studio_new.new_turn", image=source.id if source else None)
