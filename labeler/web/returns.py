"""Send answers of a person back, so that they look at the images again."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from labeler.errors import InvalidInput
from labeler.models.base import MAX_ID, MAX_VOTE_ID
from labeler.returns import service as returns
from labeler.returns.service import ReturnForecast
from labeler.rules.validation import read_whole
from labeler.web import access, confirmation, request_fields
from labeler.web.confirmation import Undo
from labeler.web.context import actor, db
from labeler.web.formatting import count_words, plural
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
            return _done(back, "These answers are sent back already, or have been changed.")
        return _ask(forecast, back)
    with db().write() as session:
        returned = returns.return_answers(session, annotator_id, votes, actor())
    undo = Undo(
        url_for("returns.take_back", annotator_id=annotator_id),
        "Take them back",
        {"returned": ",".join(map(str, returned)), "back": back},
    )
    said = f"{count_words(len(returned), 'answer')} sent back. The person has got a message."
    return _done(back, said, undo if returned else None)


@bp.post("/people/<id:annotator_id>/take-back")
@access.only("supervisor", "admin")
def take_back(annotator_id: int) -> Response:
    """Take answers back that the person has not looked at again yet."""
    numbers = _numbers(request_fields.text("returned").split(","), MAX_ID)
    with db().write() as session:
        count = returns.withdraw_returned(session, annotator_id, numbers, actor())
    said = f"{count_words(count, 'answer')} taken back. The person has got a message."
    return _done(_way_back(annotator_id), said if count else "The person has answered already.")


def _ask(forecast: ReturnForecast, back: str) -> tuple[str, int]:
    count, name = len(forecast.votes), name_person(forecast.person).text
    one = count == 1
    effects = [
        f"{name} gets a message, and sees {'this image' if one else f'these {count} images'} "
        "under “To look at again”.",
        f"The earlier {plural(count, 'answer')} {'stays' if one else 'stay'} on record, and "
        f"{'counts' if one else 'count'} until {name} answers again.",
    ]
    if forecast.agreed:
        images = "image has" if forecast.agreed == 1 else "images have"
        effects.append(f"{forecast.agreed} {images} a label now. Another answer may open it again.")
    if forecast.waiting or forecast.changed:
        left_out = forecast.waiting + forecast.changed
        effects.append(
            f"{count_words(left_out, 'chosen answer')} {'is' if left_out == 1 else 'are'} left "
            "out: sent back already, or changed since."
        )
    effects.append("You can take it back as long as the person has not answered again.")
    title = f"Send {count_words(count, 'answer')} back to {name}?"
    return confirmation.ask(title, effects, f"Send {count_words(count, 'answer')} back", back)


def _numbers(texts: list[str], largest: int) -> list[int]:
    numbers = [read_whole(text) for text in texts]
    wrong = [text for text, one in zip(texts, numbers, strict=True) if one is None or one > largest]
    if wrong:
        raise InvalidInput(f"{wrong[0][:20]!r} is not the number of an answer.")
    return [one for one in numbers if one is not None]


def _way_back(annotator_id: int) -> str:
    return request_fields.way_back(url_for("person.show", annotator_id=annotator_id))


def _done(back: str, text: str, undo: Undo | None = None) -> Response:
    confirmation.tell(text, undo)
    return redirect(back, 303)
