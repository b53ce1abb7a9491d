"""The privacy notice of a site on which nobody has written another one.

It is true of this software. Whoever runs the site may add who they are and why they collect votes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from labeler.accounts.devices import DEVICE_DAYS
from labeler.accounts.pruning import ENDED_DAYS
from labeler.audit.log import ADDRESS_DAYS
from labeler.config import Settings
from labeler.languages.current import LANGUAGES, in_language
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark

_INTRODUCTION = mark(
    "This site asks people where the light on a face comes from. It needs no real name and no "
    "e-mail address. It sends nothing to other services, and loads nothing from other sites."
)
_STORED = (  # what, and how long
    (mark("what"), mark("how long")),
    (
        mark(
            "your user name, a display name if you gave one, your role, a hash of your password, "
            "and the keys, the appearance and the language that you chose"
        ),
        mark("until your account is anonymised; role, keys, appearance and language for good"),
    ),
    (
        mark(
            "your answers, also those you undid: the image, the answer, the time, how long it "
            "took, and whether a suggestion was shown"
        ),
        mark("for good, under a pseudonym"),
    ),
    (
        mark(
            "how reliable your answers are, and whether you are in the qualification or paused, "
            "with the reason"
        ),
        mark("for good, under the pseudonym; the reason until your account is anonymised"),
    ),
    (
        mark("messages between you and the supervisors"),
        mark("until your account is anonymised"),
    ),
    (
        mark("images that you flagged: the reason and the time; your comment"),
        mark("for good, under the pseudonym; the comment until your account is anonymised"),
    ),
    (
        mark("answers that a supervisor asked you to look at again"),
        mark("for good, under the pseudonym"),
    ),
    (
        mark("links for a new password: who made one for you and when, and whether it was used"),
        mark("until your account is anonymised"),
    ),
    (
        mark("where you are signed in: the name of the browser and the times"),
        mark("%(ended)s days after that ended; the times of the last visit longer"),
    ),
    (
        mark("that you have signed in in a browser before: a random value and a time"),
        mark("%(device)s days after the last time"),
    ),
    (
        mark("wrong passwords: the user name and the network address"),
        mark("a day at most"),
    ),
    (
        mark("a log of sign-ins and of changes that matter for safety, with the network address"),
        mark("for good; the network address for %(address)s days"),
    ),
    (
        mark("a note on the invite with which you came, if somebody wrote one"),
        mark("for good; a note about you alone until your account is anonymised"),
    ),
    (
        mark("if you help to run the site: what you decided, changed and started, with your notes"),
        mark("for good, under the pseudonym"),
    ),
)
_IN_BROWSER = (
    mark(
        "A cookie keeps you signed in. It ends after %(idle)s days without a visit, and after "
        "%(longest)s days at the latest."
    ),
    mark(
        "A second cookie lasts %(device)s days. By it the site knows browsers in which you have "
        "signed in before. So strangers who guess passwords cannot lock you out."
    ),
    mark(
        "A third cookie has your time zone, so that days are counted by it. A fourth one "
        "remembers light or dark pages if you choose them without being signed in. A fifth one "
        "remembers the language that you chose. Each lasts a year."
    ),
    mark("Answers that could not be sent yet are kept in the browser until they are sent."),
)
_WHO_SEES = (
    mark("**Other people who label** see none of it."),
    mark(
        "**Supervisors and admins** see your user name and display name, your answers and their "
        "times, how reliable your answers are, your messages and your flags. The site can be set "
        "up so that supervisors see your pseudonym instead of your names."
    ),
    mark("**Admins** also see the log with the network addresses."),
    mark("**Who downloads labels and votes** gets your pseudonym, not your user name."),
    mark("**Who runs the server** can read its database, its log files and its backups."),
)
_RIGHTS = (
    mark("See all your answers on the page “Progress”, and change them."),
    mark("Write to the supervisors on the page “Messages”."),
    mark("Close your account on the page “Account”."),
    mark("See where you are signed in on the page “Account”, and sign those browsers out."),
    mark(
        "Ask an admin to anonymise your account. Your names, your password, your messages, your "
        "comments, your sign-ins and your network addresses are then erased. Your answers stay "
        "under the pseudonym. Downloads, backups and log files that were made before do not "
        "change."
    ),
)


def default_notice(settings: Settings) -> str:
    """Return the notice in Markdown, in the language of the moment, with the periods of this site.

    People read it in their own languages. A notice that an admin has written has one only.
    """
    values = {
        "address": ADDRESS_DAYS,
        "device": DEVICE_DAYS,
        "ended": ENDED_DAYS,
        "idle": settings.session_days,
        "longest": settings.session_max_days,
    }
    head, *rows = (f"| {_(what, **values)} | {_(time, **values)} |" for what, time in _STORED)
    parts = (
        _(_INTRODUCTION),
        "# " + _("What is stored, and how long"),
        "\n".join((head, "|---|---|", *rows)),
        "# " + _("In your browser"),
        _listed(_IN_BROWSER, values),
        "# " + _("Who sees it"),
        _listed(_WHO_SEES, values),
        "# " + _("What you can do"),
        _listed(_RIGHTS, values),
    )
    return "\n\n".join(parts)


def is_default(text: str, settings: Settings) -> bool:
    """Whether a text is the default notice in one of the languages."""
    for code in LANGUAGES:
        with in_language(code):
            if text == default_notice(settings):
                return True
    return False


def _listed(texts: Iterable[str], values: Mapping[str, object]) -> str:
    return "\n".join(f"- {_(text, **values)}" for text in texts)
