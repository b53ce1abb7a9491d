"""The form of the studio: choose a source, see the clusters, turn the head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

from flask import Blueprint, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.errors import InvalidInput, NotFound, SidelightError
from labeler.jobs.turning import order_turn
from labeler.languages.texts import gettext as _
from labeler.models.campaigns import Campaign
from labeler.models.images import MAX_FILENAME, Image
from labeler.models.studio import HeadTurn
from labeler.studio import files
from labeler.studio.candidates import PreviewSource
from labeler.studio.choices import AUTO, TurnChoices
from labeler.studio.preview import usable_attributes
from labeler.studio.sources import check_upload
from labeler.studio.turns import NewTurn, get_turn
from labeler.web import access, confirmation, current_campaign, request_fields
from labeler.web.context import Account, actor, db, manages, render, settings
from labeler.web.studio.access import viewer
from labeler.web.studio.form import (
    MAX_NAME,
    StudioForm,
    check_sizes,
    empty_form,
    fill_from_address,
    form_of_turn,
    parse_choices,
    sent_form,
)
from labeler.web.studio.new_page import (
    PreviewPart,
    find_image,
    load_known,
    new_turn_page,
    view_preview,
)
from labeler.web.subsets.choice import subset_choices

bp = Blueprint("studio_new", __name__, url_prefix="/studio")
MARGIN = 20  # characters that the usual name of a turn adds, in any language


@bp.get("/new")
@access.signed_in
def new_turn() -> tuple[str, int]:
    """The form that turns a head; `image=NUMBER`, `subset=NUMBER` or `turn=NUMBER` fill it.

    The other fields can be named too, as `query_of` writes them.
    A turn also chooses its campaign, unless the address names one.
    """
    me = viewer()
    image_id, turn_id, subset_id = map(request_fields.row_number, ("image", "turn", "subset"))
    with db().read() as session:
        turn = get_turn(session, turn_id, me) if turn_id else None
        form = form_of_turn(turn) if turn is not None else empty_form()
        fill_from_address(form)
        if image_id:
            form.values["source"] = str(image_id)
        if subset_id:
            form.values["subset"] = str(subset_id)
        campaign = _campaign_of_turn(session, turn) or _campaign(session)
        # Counting takes up to a second for all of CelebA: the script asks for it afterwards.
        return render(new_turn_page(session, campaign, form, counted=False))


@bp.post("/preview")
@access.signed_in
@request_fields.accepts_uploads
def preview() -> tuple[str, int]:
    """The clusters that a form would use."""
    viewer()
    form = sent_form()
    with db().read() as session:
        campaign = _campaign(session)
        source = find_image(session, campaign, form)
        view = view_preview(session, campaign, source, form)
        return render(PreviewPart(view, form))


@bp.post("/new")
@access.signed_in
@request_fields.accepts_uploads
def create_turn() -> tuple[str, int] | Response:
    """Turn a head, or change one choice of the form and show it again."""
    me = viewer()
    form = sent_form()
    if _change(form):
        with db().read() as session:
            return render(new_turn_page(session, _campaign(session), form))
    try:
        turn_id = _order(form, me)
    except SidelightError as error:
        problem = "" if form.problems else error.message
        with db().read() as session:
            return render(new_turn_page(session, _campaign(session), form, problem), error.status)
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
        source = find_image(session, campaign, form) if data is None else None
        subset_id = _subset(session, campaign, form)
        if data is None and source is None and "source" not in form.problems:
            form.problems["source"] = _("Choose a picture of the data set, or one of your own.")
        known = load_known(session, campaign, source, form)
        if choices is not None:
            _check_source(source, known, form, choices)
            names = usable_attributes(choices.attributes, campaign, known)
    if form.problems or choices is None:
        raise InvalidInput(_("The form needs corrections."))
    shown = source.filename if source else name
    wanted = NewTurn(
        form.get("name") or _usual_name(shown),
        shown,
        replace(choices, attributes=tuple(names)).as_dict(),
        campaign.dataset_id,
        campaign.id,
        source.id if source else None,
        subset_id,
        form.is_on("keep") and data is not None,
    )
    return order_turn(db(), settings(), wanted, me.id, actor(), _keep(name, data))


def _usual_name(source: str) -> str:
    return _("%(name)s turned", name=PurePosixPath(source).stem[: MAX_NAME - MARGIN])


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


def _check_source(
    source: Image | None, known: PreviewSource, form: StudioForm, choices: TurnChoices
) -> None:
    """Note a problem if nothing tells the light, or the yaw, of the source."""
    if choices.light_filter and choices.light == AUTO and not known.label:
        form.problems["light"] = (
            _(
                "Say where its light comes from: the picture has no label. Or use pictures of any "
                "light."
            )
            if manages()
            else _("Say where its light comes from. Or use pictures of any light.")
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
