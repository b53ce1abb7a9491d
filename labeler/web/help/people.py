"""Help for the pages about people and activity: texts, marked for translation."""

from __future__ import annotations

from labeler.audit.log import ADDRESS_DAYS
from labeler.languages.texts import mark, mark_in_context
from labeler.web.help.topics import Topic

HELP_PEOPLE = {
    "people": Topic(
        mark(
            "Everybody who has an account, with their status in the chosen campaign. The page of "
            "a person has their answers, and what you can do about them."
        ),
        (
            (mark("Answers"), mark("Those that count in the chosen campaign, without exercises.")),
            (
                mark("In qualification"),
                mark("The person answers gold questions first and learns from them."),
            ),
            (
                mark("Paused"),
                mark("The person gets no images. They read the reason that you give."),
            ),
            (mark("Not in this campaign"), mark("The campaign is restricted to other people.")),
            (mark("Pseudonym"), mark("The name in exports. It tells nobody who the person is.")),
        ),
        (
            mark(
                "Read the sentences marked “check”, then open the person and look at their answers."
            ),
            mark(
                "Tick answers and send them back. The person looks at these images again. Until "
                "then the earlier answers count."
            ),
            mark("Give a reason when you pause somebody. They read it and can answer it."),
            mark(
                "Admins can also change roles, hand over a link for a new password, and close or "
                "anonymise accounts. Votes stay."
            ),
        ),
    ),
    "messages": Topic(
        mark("Each person has one thread with all supervisors. Nobody else reads it."),
        (
            (mark("New"), mark("No supervisor has read these messages yet.")),
            (
                mark("Read"),
                mark("A supervisor has read the newest message, and nobody has answered."),
            ),
            (mark("Answered"), mark("The newest message is from a supervisor.")),
        ),
        (
            mark("Open a thread to read and answer it. It is then read for all supervisors."),
            mark("To write to somebody first, open the person on the page “People”."),
            mark("Anonymising an account deletes its thread."),
        ),
    ),
    "groups": Topic(
        mark("A group is a name for people, such as a class."),
        (
            (mark("Members"), mark("People in the group. A person can be in several groups.")),
            (
                mark("Restricted"),
                mark("Only chosen people and groups get images of such a campaign."),
            ),
        ),
        (
            mark("Create a group for each class that gets a campaign of its own."),
            mark("Choose the group in an invite, so that new people join it by themselves."),
            mark("Open the campaign, and choose the group under “When and for whom”."),
        ),
    ),
    "invites": Topic(
        mark("An invite is a link with which people create an account. There is no other way."),
        (
            (
                mark("Used"),
                mark("How many accounts the link has opened, and how many it may open."),
            ),
            (mark_in_context("invite", "Open"), mark("The link works until the time beside it.")),
            (mark("Used up, expired, revoked"), mark("The link no longer works. Accounts stay.")),
        ),
        (
            mark("Create one link for a whole class, and say how many people are in it."),
            mark("Copy the link at once: it is shown only once."),
            mark("Revoke a link that reached the wrong people."),
        ),
    ),
    "privacy": Topic(
        mark(
            "The privacy notice says what this site stores about people, how long, and who sees "
            "it. Everybody can read it."
        ),
        (
            (
                mark("Default notice"),
                mark(
                    "The text that is shown until you write another one. It is true of this "
                    "software."
                ),
            ),
            (mark("Markdown"), mark("Plain text with a few signs, such as # before a heading.")),
        ),
        (
            mark("Add who runs the site, why you collect answers, and whom people can ask."),
            mark(
                "Add what your server keeps besides, such as the log of a web server and backups."
            ),
            mark("Read it again after each new version of the software."),
        ),
    ),
    "jobs": Topic(
        mark(
            "Jobs are work that takes longer, such as training a model. A background worker does "
            "them, one after the other."
        ),
        (
            (mark("Queued"), mark("The job waits until the worker is free.")),
            (mark("Attempt"), mark("The worker ended in the middle, and the job began again.")),
            (mark("Failed"), mark("The job gave up. The reason stands beside it.")),
        ),
        (
            mark("Open a job to read its log."),
            mark("Cancel a job that is not needed, or queue a failed one again."),
            mark("If jobs stay queued, check that the worker runs on the machine of the site."),
        ),
    ),
    "audit": Topic(
        mark(
            "The audit log tells who changed what, and when. Nobody can change or delete an entry."
        ),
        (
            (
                mark("Who"),
                mark("The person who did it. A dash means a command, or somebody unknown."),
            ),
            (mark("Concerns"), mark("What it was done to, such as an account.")),
            (
                mark("Address"),
                mark("The network address. It is erased after %(address_days)s days."),
            ),
        ),
        (
            mark("Filter by kind or person to find an event."),
            mark("Many wrong passwords in a short time can mean that somebody guesses."),
        ),
        {"address_days": ADDRESS_DAYS},
    ),
}
