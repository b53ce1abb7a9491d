"""Ask before a change that hurts somebody, or that cannot be taken back in full.

The question is a page of its own, so it needs no script. It says what the change will do, in
numbers. It holds all fields of the form that was sent, and `Yes` sends them to the same address
again. So nothing has to be kept in between.

A change that can be taken back offers that afterwards: `tell` with an `Undo`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flask import flash, request

from labeler.errors import ConfirmationNeeded
from labeler.languages.texts import gettext as _
from labeler.web.context import Page, own_address, render
from labeler.web.errors import wants_json

FIELD = "confirmed"
YES = "yes"
NOT_REPEATED = frozenset({FIELD, "csrf_token", "password_again"})


@dataclass(frozen=True, slots=True)
class QuestionPage(Page):
    """The question. `fields`: names and values of the form that was sent.

    `effects`: what the change will do, a sentence each. `button`: the words of "yes". `again`: an
    address that shows the form with what was typed; "" if "Cancel" leads to `back`.
    """

    template = "confirmation.html"
    title: str
    effects: Sequence[str]
    button: str
    back: str
    address: str
    fields: Sequence[tuple[str, str]]
    again: str = ""
    field: str = FIELD
    yes: str = YES


@dataclass(frozen=True, slots=True)
class Undo:
    """A button that takes a change back: the address and the fields that it sends."""

    address: str
    button: str
    fields: Mapping[str, str] = field(default_factory=dict)


def is_given() -> bool:
    """Whether the person has already said yes."""
    return request.form.get(FIELD) == YES


def ask(
    title: str, effects: Sequence[str], button: str, back: str, again: str = ""
) -> tuple[str, int]:
    """Show the question. Nothing has been changed so far.

    Parameters:
        back: the address of the page to which "Cancel" leads.
        again: an address that takes the same fields and shows the form again, changing nothing.
            "Cancel" then leads there, so that nothing that was typed is lost.

    Raises:
        ConfirmationNeeded: a program asked, which gets the effects as the message.
    """
    if wants_json():
        how = _("Send %(field)s=%(value)s to go on.", field=FIELD, value=YES)
        raise ConfirmationNeeded(" ".join((*effects, how)))
    page = QuestionPage(title, effects, button, back, own_address(), sent_fields(), again)
    return render(page)


def sent_fields() -> list[tuple[str, str]]:
    """Return names and values of the form that was sent, without tokens and passwords."""
    return [pair for pair in request.form.items(multi=True) if pair[0] not in NOT_REPEATED]


def tell(text: str, undo: Undo | None = None) -> None:
    """Say on the next page what was done, with a button that takes it back."""
    if undo is None:
        flash(text, "success")
        return
    fields = {**undo.fields, FIELD: YES}
    button = {"address": undo.address, "button": undo.button, "fields": fields}
    flash({"text": text, "undo": button}, "success")  # type: ignore[arg-type]
