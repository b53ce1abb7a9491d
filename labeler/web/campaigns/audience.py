"""The choice of who may label in a campaign, as the form of a campaign shows it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from labeler.accounts.groups import list_groups
from labeler.accounts.service import list_people
from labeler.languages.texts import ngettext
from labeler.web.campaigns.forms import CampaignForm, Choice
from labeler.web.person_name import by_name


@dataclass(frozen=True, slots=True)
class AudienceChoices:
    """Groups and people as options. Closed accounts are options only if they are chosen."""

    groups: list[Choice]
    people: list[Choice]

    @property
    def chosen_people(self) -> int:
        """How many people are chosen by name."""
        return sum(one.chosen != "" for one in self.people)


def audience_choices(session: Session, form: CampaignForm) -> AudienceChoices:
    """Return the options of a form."""
    groups = [
        Choice(
            str(one.group.id),
            ngettext(
                "%(name)s (%(num)s member)",
                "%(name)s (%(num)s members)",
                one.members,
                name=one.group.name,
            ),
            "yes" if one.group.id in form.groups else "",
        )
        for one in list_groups(session)
    ]
    people = [
        Choice(str(one.id), name, "yes" if one.id in form.people else "")
        for name, one in by_name(person.annotator for person in list_people(session))
        if one.deactivated_at is None or one.id in form.people
    ]
    return AudienceChoices(groups, people)
