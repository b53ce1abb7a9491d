"""The privacy notice of a site on which nobody has written another one.

It is true of this software. Whoever runs the site may add who they are and why they collect votes.
"""

from __future__ import annotations

from labeler.accounts.devices import DEVICE_DAYS
from labeler.accounts.pruning import ENDED_DAYS
from labeler.audit.log import ADDRESS_DAYS
from labeler.config import Settings


def default_notice(settings: Settings) -> str:
    """Return the notice in Markdown, with the periods of this site."""
    return _TEXT.format(
        address=ADDRESS_DAYS,
        device=DEVICE_DAYS,
        ended=ENDED_DAYS,
        idle=settings.session_days,
        longest=settings.session_max_days,
    )


_TEXT = """\
This site asks people where the light on a face comes from. It needs no real name and no e-mail \
address. It sends nothing to other services, and loads nothing from other sites.

# What is stored, and how long

| what | how long |
|---|---|
| your user name, a display name if you gave one, your role, a hash of your password, and the keys \
and the appearance that you chose | until your account is anonymised; role, keys and appearance \
for good |
| your answers, also those you undid: the image, the answer, the time, how long it took, and \
whether a suggestion was shown | for good, under a pseudonym |
| how reliable your answers are, and whether you are in the qualification or paused, with the \
reason | for good, under the pseudonym; the reason until your account is anonymised |
| messages between you and the supervisors | until your account is anonymised |
| images that you flagged: the reason and the time; your comment | for good, under the pseudonym; \
the comment until your account is anonymised |
| answers that a supervisor asked you to look at again | for good, under the pseudonym |
| links for a new password: who made one for you and when, and whether it was used | until your \
account is anonymised |
| where you are signed in: the name of the browser and the times | {ended} days after that ended; \
the times of the last visit longer |
| that you have signed in in a browser before: a random value and a time | {device} days after \
the last time |
| wrong passwords: the user name and the network address | a day at most |
| a log of sign-ins and of changes that matter for safety, with the network address | for good; \
the network address for {address} days |
| a note on the invite with which you came, if somebody wrote one | for good; a note about you \
alone until your account is anonymised |
| if you help to run the site: what you decided, changed and started, with your notes | for good, \
under the pseudonym |

# In your browser

- A cookie keeps you signed in. It ends after {idle} days without a visit, and after {longest} \
days at the latest.
- A second cookie lasts {device} days. By it the site knows browsers in which you have signed in \
before. So strangers who guess passwords cannot lock you out.
- A third cookie has your time zone, so that days are counted by it. A fourth one remembers \
light or dark pages if you choose them without being signed in. Both last a year.
- Answers that could not be sent yet are kept in the browser until they are sent.

# Who sees it

- **Other people who label** see none of it.
- **Supervisors and admins** see your user name and display name, your answers and their times, \
how reliable your answers are, your messages and your flags. The site can be set up so that \
supervisors see your pseudonym instead of your names.
- **Admins** also see the log with the network addresses.
- **Who downloads labels and votes** gets your pseudonym, not your user name.
- **Who runs the server** can read its database, its log files and its backups.

# What you can do

- See all your answers on the page “Progress”, and change them.
- Write to the supervisors on the page “Messages”.
- Close your account on the page “Account”.
- See where you are signed in on the page “Account”, and sign those browsers out.
- Ask an admin to anonymise your account. Your names, your password, your messages, your \
comments, your sign-ins and your network addresses are then erased. Your answers stay under the \
pseudonym. Downloads, backups and log files that were made before do not change."""
