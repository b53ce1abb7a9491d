"""Help for the pages of Manage. `labeler.web.help.texts` has the texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, url_for

from labeler.errors import NotFound
from labeler.languages.texts import gettext as _
from labeler.web import access
from labeler.web.context import Link, Page, render
from labeler.web.current_campaign import campaign_menu
from labeler.web.help.texts import TOPICS
from labeler.web.help.topics import Topic, spoken
from labeler.web.manage_menu import PAGES, show

bp = Blueprint("help", __name__, url_prefix="/admin/help")


@dataclass(frozen=True, slots=True)
class TopicLink:
    """A topic in the list of all. `purpose`: what its page is for."""

    text: str
    address: str
    purpose: str


@dataclass(frozen=True, slots=True)
class HelpPage(Page):
    """The list of all topics that concern the person."""

    template = "help/all.html"
    topics: Sequence[TopicLink]


@dataclass(frozen=True, slots=True)
class TopicPage(Page):
    """The help for one page. `about`: the link to that page."""

    template = "help/topic.html"
    topic: Topic
    about: Link


@bp.get("")
@access.only("supervisor", "admin")
def topics() -> tuple[str, int]:
    """All help for Manage."""
    return render(
        HelpPage(
            [
                TopicLink(
                    page.words,
                    url_for("help.show_topic", topic=name),
                    _(TOPICS[name].purpose),
                )
                for name, page in PAGES.items()
                if page.is_open
            ]
        )
    )


@bp.get("/<topic>")
@access.only("supervisor", "admin")
def show_topic(topic: str) -> tuple[str, int]:
    """The help for a page: what it is for, what its numbers mean, what to do next."""
    page = PAGES.get(topic)
    if page is None or not page.is_open:
        raise NotFound(_("There is no help of this name."))
    show(page)
    address = url_for(page.endpoint, **campaign_menu().query)
    return render(TopicPage(spoken(TOPICS[topic]), Link(address, page.words)))
