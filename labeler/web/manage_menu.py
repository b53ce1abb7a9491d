"""The menu of Manage: its groups and their pages. Each page has a name, which its help has too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from flask import Flask, current_app, g, request, url_for

from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.web import access
from labeler.web.context import account_or_none, manages


@dataclass(frozen=True, slots=True)
class ManagePage:
    """A page that the menu leads to.

    `text`: what it is called, marked for translation. `covers`: blueprints and views that belong to
    it, such as the page of one image to the images.
    """

    name: str
    text: str
    endpoint: str
    covers: frozenset[str] = frozenset()

    @property
    def words(self) -> str:
        """The text in the language of the reader."""
        return _(self.text)

    @property
    def is_open(self) -> bool:
        """Whether the person of this request may open it."""
        found = account_or_none()
        roles = access.roles_of(current_app, self.endpoint) or frozenset()
        return found is not None and found.role in roles


@dataclass(frozen=True, slots=True)
class Group:
    """A tab: pages that are used together. The tab leads to the first one."""

    text: str
    pages: tuple[ManagePage, ...]

    @property
    def open_pages(self) -> list[ManagePage]:
        """Return the pages that the person of this request may open."""
        return [page for page in self.pages if page.is_open]


@dataclass(frozen=True, slots=True)
class MenuLink:
    """A link of the menu. `current`: for `aria-current`: "page", "true" for a page above, or ""."""

    text: str
    address: str
    current: str = ""


@dataclass(frozen=True, slots=True)
class Menu:
    """The menu of one page. `help`: the link to the help for the page.

    `group`, `links`: the second row; no links if there is no choice.
    """

    tabs: Sequence[MenuLink]
    help: MenuLink
    group: str = ""
    links: Sequence[MenuLink] = field(default_factory=tuple)


def _page(name: str, text: str, endpoint: str, *covers: str) -> ManagePage:
    return ManagePage(name, text, endpoint, frozenset(covers))


GROUPS = (
    Group(
        mark("Overview"),
        (_page("overview", mark("Overview"), "dashboard.overview", "dashboard"),),
    ),
    Group(
        mark("Campaigns"),
        (
            _page(
                "campaigns",
                mark("Campaigns"),
                "campaigns.campaigns",
                "campaigns",
                "campaign_states",
                "deletion",
            ),
            _page("gold", mark("Gold questions"), "gold.gold", "gold"),
            _page("contested", mark("Contested"), "adjudication.contested", "adjudication"),
        ),
    ),
    Group(
        mark("Images"),
        (
            _page(
                "images", mark("Images"), "image_browser.images", "image_browser", "image_history"
            ),
            _page("subsets", mark("Subsets"), "subsets.subsets", "subsets"),
            _page(
                "data-sets",
                mark("Data sets"),
                "images.datasets",
                "images",
                "image_imports",
                "deletion.confirm_dataset",
                "deletion.delete_dataset",
            ),
            _page("mean-faces", mark("Mean faces"), "mean_faces.mean_faces", "mean_faces"),
            _page(
                "studio",
                mark("Studio"),
                "studio_gallery.gallery",
                "studio_gallery",
                "studio_new",
                "studio_clusters",
                "studio_results",
                "studio_shares.revoke",
            ),
        ),
    ),
    Group(
        mark("Model runs"),
        (_page("runs", mark("Model runs"), "proposals.model_runs", "proposals"),),
    ),
    Group(
        mark("Quality"),
        (
            _page("quality", mark("Quality"), "quality.quality", "quality"),
            _page("agreement", mark("Agreement"), "agreement.agreement", "agreement"),
        ),
    ),
    Group(
        mark("People"),
        (
            _page(
                "people",
                mark("People"),
                "people.people",
                "people",
                "person",
                "person_account",
                "returns",
            ),
            _page("groups", mark("Groups"), "groups.groups", "groups"),
            _page(
                "messages",
                mark("Messages"),
                "messages.threads",
                "messages.thread",
                "messages.send_to",
            ),
            _page(
                "invites",
                mark("Invites"),
                "people.invites",
                "people.create_invite",
                "people.revoke_invite",
            ),
            _page(
                "privacy",
                mark("Privacy notice"),
                "privacy.edit",
                "privacy.save",
                "privacy.preview",
                "privacy.restore",
            ),
        ),
    ),
    Group(
        mark("Activity"),
        (
            _page("jobs", mark("Jobs"), "jobs.jobs", "jobs"),
            _page("audit", mark("Audit log"), "audit.show", "audit"),
        ),
    ),
)
PAGES = {page.name: page for group in GROUPS for page in group.pages}


def register(app: Flask) -> None:
    """Give the menu to the templates."""
    app.jinja_env.globals.update(manage_menu=manage_menu, manage_page=present_page)


def present_page() -> ManagePage | None:
    """Return the page of the menu to which this request belongs; None outside of Manage."""
    if "manage_page" in g:
        return cast(ManagePage, g.manage_page)
    pages = PAGES.values() if manages() else ()
    for key in (request.endpoint, request.blueprint):
        for page in pages:
            if key and (key == page.endpoint or key in page.covers):
                return page
    return None


def show(page: ManagePage) -> None:
    """Tell the menu that this request belongs to a page, as that of its help does."""
    g.manage_page = page


def manage_menu(query: dict[str, Any]) -> Menu:
    """Return the menu of this request.

    Parameters:
        query: the query values that keep every link on the chosen campaign.
    """
    here = present_page()
    shown = [(group, group.open_pages) for group in GROUPS]
    tabs = [_tab(group, pages, here, query) for group, pages in shown if pages]
    group, pages = next(((group, pages) for group, pages in shown if here in pages), (None, []))
    if group is None or len(pages) < 2:
        return Menu(tabs, _help(here, query))
    links = [
        MenuLink(
            page.words, url_for(page.endpoint, **query), _current(page) if page is here else ""
        )
        for page in pages
    ]
    return Menu(tabs, _help(here, query), _(group.text), links)


def _help(here: ManagePage | None, query: dict[str, Any]) -> MenuLink:
    """Return the link to the help for a page, or to all help outside of the pages."""
    current = "page" if request.blueprint == "help" else ""
    if here is None:
        return MenuLink(_("Help"), url_for("help.topics", **query), current)
    return MenuLink(_("Help"), url_for("help.show_topic", topic=here.name, **query), current)


def _tab(
    group: Group, pages: list[ManagePage], here: ManagePage | None, query: dict[str, Any]
) -> MenuLink:
    """Return the tab of a group. With a single page it has the name of that page."""
    first = pages[0]
    current = "" if here not in pages else _current(first) if here is first else "true"
    text = _(group.text) if len(pages) > 1 else first.words
    return MenuLink(text, url_for(first.endpoint, **query), current)


def _current(page: ManagePage) -> str:
    return "page" if request.endpoint == page.endpoint else "true"
