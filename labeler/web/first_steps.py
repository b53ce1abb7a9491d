"""The checklist of the first steps on the overview. It shows what the database says is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flask import url_for
from sqlalchemy.orm import Session

from labeler.image_imports.service import list_open
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.accounts import Annotator
from labeler.models.image_imports import ImageImport
from labeler.progress.first_steps import FirstSteps, find_first_steps
from labeler.web.context import account

BY_ADMIN = mark("An admin does this.")


@dataclass(frozen=True, slots=True)
class Step:
    """A step. `address`: where it is done; "" if this person may not. `words`: what it is for.

    `more`: a step that is done can be done once more, and the words say why.
    """

    title: str
    words: str
    done: bool
    address: str
    button: str
    more: bool = False


@dataclass(frozen=True, slots=True)
class Checklist:
    """The steps. `hidden`: this person has hidden them; `next`: the first one to do."""

    steps: Sequence[Step]
    hidden: bool
    next: Step | None


def checklist(session: Session) -> Checklist | None:
    """Return the checklist for this person; None when everything is done."""
    found = find_first_steps(session)
    if found.is_complete:
        return None
    begun = next(iter(list_open(session)), None)
    steps = [
        _images(found, begun),
        _campaign(found),
        _gold(found),
        _people(found),
        _activate(found),
    ]
    todo = next((step for step in steps if not step.done), None)
    return Checklist(steps, session.get_one(Annotator, account().id).hides_checklist, todo)


def set_hidden(session: Session, hidden: bool) -> None:
    """Hide the checklist for this person, or show it again."""
    session.get_one(Annotator, account().id).hides_checklist = hidden


def _is_admin() -> bool:
    return account().role == "admin"


def _images(found: FirstSteps, begun: ImageImport | None) -> Step:
    words = _("Upload a zip file or a folder of face images.")
    address, button = url_for("image_imports.add"), _("Add images")
    own = found.dataset_id and not found.only_demo
    if begun is not None and not own:
        if begun.state == "receiving":
            words = _("The import of %(name)s is not finished.", name=begun.name)
        else:
            words = _("The import of %(name)s is being checked.", name=begun.name)
        address = url_for("image_imports.show", import_id=begun.id)
        button = _("See the import")
    elif found.only_demo:
        words = _("So far there are the generated faces of the demo, to try the site with.")
        button = _("Add your own images")
    step = _admin_step(_("Add images"), words, bool(found.dataset_id), address, button)
    return replace(step, more=found.only_demo)


def _campaign(found: FirstSteps) -> Step:
    address = url_for("campaigns.new_campaign", dataset=found.dataset_id)
    return Step(
        _("Create a campaign"),
        _("Choose which images are labelled, and by which rules. Each preset says what it costs."),
        bool(found.campaign_id),
        address if found.dataset_id else "",
        _("Create a campaign"),
    )


def _gold(found: FirstSteps) -> Step:
    return Step(
        _("Add gold questions"),
        _("Give the correct label of some images. They show how well each person judges."),
        found.gold > 0,
        url_for("gold.gold", campaign=found.campaign_id) if found.campaign_id else "",
        _("Add gold questions"),
    )


def _people(found: FirstSteps) -> Step:
    words = _("Create a link with which people make their accounts.")
    address = url_for("people.invites")
    return _admin_step(_("Invite people"), words, found.people > 0, address, _("Create an invite"))


def _activate(found: FirstSteps) -> Step:
    return Step(
        _("Activate the campaign"),
        _("From then on people get its images."),
        found.is_active,
        url_for("campaigns.campaign", campaign_id=found.campaign_id) if found.campaign_id else "",
        _("Go to the campaign"),
    )


def _admin_step(title: str, words: str, done: bool, address: str, button: str) -> Step:
    if _is_admin():
        return Step(title, words, done, address, button)
    return Step(title, f"{words} {_(BY_ADMIN)}", done, "", button)
