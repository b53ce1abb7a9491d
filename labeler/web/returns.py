"""Send answers of a person back, so that they look at the images again."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from labeler.errors import InvalidInput
from labeler.languages.texts import gettext as _
from labeler.languages.texts import ngettext
from labeler.models.base import MAX_ID, MAX_VOTE_ID
from labeler.returns import service as returns
from labeler.returns.service import ReturnForecast
from labeler.rules.validation import read_whole
from labeler.web import access, confirmation, request_fields
from labeler.web.confirmation import Undo
from labeler.web.context import actor, db
from labeler.web.person_name import name_person

bp = Blueprint("returns", __name__, url_prefix="/admin")


@bp.post("/people/<id:annotator_id>/send-back")
@access.only("supervisor", "admin")
def send_back(annotator_id: int) -> Response | tuple[str, int]:
    """Send the chosen answers back. The site asks first, since the person gets a message."""
    votes = _numbers(request.form.getlist("vote"), MAX_VOTE_ID)
    back = _way_back(annotator_id)
    if not confirmation.is_given():
        with db().read() as session:
            forecast = returns.forecast_return(session, annotator_id, votes)
        if not forecast.votes:
            return _done(back, _("These answers are sent back already, or have been changed."))
        return _ask(forecast, back)
    with db().write() as session:
        returned = returns.return_answers(session, annotator_id, votes, actor())
    undo = Undo(
        url_for("returns.take_back", annotator_id=annotator_id),
        _("Take them back"),
        {"returned": ",".join(map(str, returned)), "back": back},
    )
    said = ngettext(
        "%(num)s answer sent back. The person has got a message.",
        "%(num)s answers sent back. The person has got a message.",
        len(returned),
    )
    return _done(back, said, undo if returned else None)


@bp.post("/people/<id:annotator_id>/take-back")
@access.only("supervisor", "admin")
def take_back(annotator_id: int) -> Response:
    """Take answers back that the person has not looked at again yet."""
    numbers = _numbers(request_fields.text("returned").split(","), MAX_ID)
    with db().write() as session:
        count = returns.withdraw_returned(session, annotator_id, numbers, actor())
    said = ngettext(
        "%(num)s answer taken back. The person has got a message.",
        "%(num)s answers taken back. The person has got a message.",
        count,
    )
    return _done(_way_back(annotator_id), said if count else _("The person has answered already."))


def _ask(forecast: ReturnForecast, back: str) -> tuple[str, int]:
    count, name = len(forecast.votes), name_person(forecast.person).text
    effects = [
        ngettext(
            "%(name)s gets a message, and sees this image under “To look at again”.",
            "%(name)s gets a message, and sees these %(num)s images under “To look at again”.",
            count,
            name=name,
        ),
        ngettext(
            "The earlier answer stays on record, and counts until %(name)s answers again.",
            "The earlier answers stay on record, and count until %(name)s answers again.",
            count,
            name=name,
        ),
    ]
    if forecast.agreed:
        effects.append(
            ngettext(
                "%(num)s image has a label now. Another answer may open it again.",
                "%(num)s images have a label now. Another answer may open it again.",
                forecast.agreed,
            )
        )
    if forecast.waiting or forecast.changed:
        left_out = forecast.waiting + forecast.changed
        effects.append(
            ngettext(
                "%(num)s chosen answer is left out: sent back already, or changed since.",
                "%(num)s chosen answers are left out: sent back already, or changed since.",
                left_out,
            )
        )
    effects.append(_("You can take it back as long as the person has not answered again."))
    title = ngettext(
        "Send %(num)s answer back to %(name)s?",
        "Send %(num)s answers back to %(name)s?",
        count,
        name=name,
    )
    button = ngettext("Send %(num)s answer back", "Send %(num)s answers back", count)
    return confirmation.ask(title, effects, button, back)


def _numbers(texts: list[str], largest: int) -> list[int]:
    numbers = [read_whole(text) for text in texts]
    wrong = [text for text, one in zip(texts, numbers, strict=True) if one is None or one > largest]
    if wrong:
        raise InvalidInput(_("%(wrong)r is not the number of an answer.", wrong=wrong[0][:20]))
    return [one for one in numbers if one is not None]


def _way_back(annotator_id: int) -> str:
    return request_fields.way_back(url_for("person.show", annotator_id=annotator_id))


def _done(back: str, text: str, undo: Undo | None = None) -> Response:
    confirmation.tell(text, undo)
    return redirect(back, 303)
