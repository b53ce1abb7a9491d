"""Turn the Markdown of supervisors into HTML that is safe to show."""

from __future__ import annotations

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from labeler.campaigns.service import MAX_GUIDELINE
from labeler.privacy.service import MAX_NOTICE

_BLOCKS = {"blockquote", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul"}
_INLINE = {"a", "br", "code", "em", "img", "kbd", "s", "strong"}
_TABLES = {"table", "tbody", "td", "th", "thead", "tr"}
_ATTRIBUTES = {"a": {"href", "title"}, "img": {"src", "alt", "title"}, "ol": {"start"}}
_SCHEMES = {"http", "https", "mailto"}
_OWN_IMAGES = ("/images/", "/static/")
_parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def render(text: str) -> Markup:
    """Render CommonMark with tables as HTML. HTML in the text is shown as text.

    Headings start at the second level, because the page has its own title. Only images of this
    site are shown. An allow-list cleans the result of the parser, as a second line of defence.

    The time of the parser grows with the square of some texts. So a text beyond the limits of
    guideline and notice gives nothing, wherever it comes from; the form that holds it says why.
    """
    if len(text) > max(MAX_GUIDELINE, MAX_NOTICE):
        return Markup("")
    tokens = _parser.parse(text)
    for token in tokens:
        _lower_heading(token)
    html = _parser.renderer.render(tokens, _parser.options, {})
    cleaned = nh3.clean(
        html,
        tags=_BLOCKS | _INLINE | _TABLES,
        attributes=_ATTRIBUTES,
        attribute_filter=_own_images_only,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(cleaned)  # nosec B704  # nh3 has cleaned it


def _lower_heading(token: Token) -> None:
    if token.type in ("heading_open", "heading_close"):
        token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"


def _own_images_only(tag: str, attribute: str, value: str) -> str | None:
    if (tag, attribute) == ("img", "src") and not value.startswith(_OWN_IMAGES):
        return None
    return value
