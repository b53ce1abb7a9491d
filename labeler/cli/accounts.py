"""Commands about people: `users invite|list|group|set-role|deactivate|reactivate|...`."""

from __future__ import annotations

import click

from labeler.accounts import groups, invites
from labeler.accounts import service as accounts
from labeler.cli.context import open_database
from labeler.config import load_settings
from labeler.models.accounts import ROLES
from labeler.progress.annotator_progress import count_votes


@click.group()
def users() -> None:
    "Invite people, list and change their accounts."


@users.command()
@click.option("--role", type=click.Choice(ROLES), default="annotator", show_default=True)
@click.option("--uses", default=1, show_default=True, help="Number of people who can use the link.")
@click.option(
    "--days", default=14, show_default=True, help="Number of days for which the link is valid."
)
@click.option("--note", default="", help="Who the link is for. Shown in the list of invites.")
@click.option("--group", metavar="NAME", help="Group that the new accounts join.")
def invite(role: str, uses: int, days: int, note: str, group: str | None) -> None:
    """Create an invite link, for one person or for a whole class.

    The link is shown only once, because only its hash is stored.

    \b
    Examples:
      python manage.py users invite --uses 60 --note "Monday's class"
      python manage.py users invite --uses 60 --group "Monday's class"
      python manage.py users invite --role admin --days 1
    """
    settings = load_settings()
    with open_database(settings) as db, db.write() as session:
        group_id = groups.find_group(session, group).id if group else None
        made, token = invites.create_invite(session, role, uses, days, note, group_id=group_id)
        address = invites.invite_address(settings.address, token)
        until = f"{made.expires_at:%Y-%m-%d %H:%M} UTC"
    click.echo(address)
    click.echo(f"For {uses} {role}{'s' if uses > 1 else ''}, until {until}.", err=True)
    if invites.is_local(address):
        click.echo(
            "The link works on this computer only. For other people, write "
            "SIDELIGHT_PUBLIC_URL=http://ADDRESS:PORT before the command, with the address under "
            "which they reach the site.",
            err=True,
        )


@users.command("list")
def list_users() -> None:
    """List the accounts with their roles and number of votes.

    \b
    Example:
      python manage.py users list
    """
    with open_database() as db, db.read() as session:
        people = accounts.list_people(session)
        votes = count_votes(session)
    for person in people:
        one = person.annotator
        seen = f"{person.last_seen_at:%Y-%m-%d %H:%M}" if person.last_seen_at else "never"
        closed = "  (deactivated)" if one.deactivated_at else ""
        closed = "  (anonymised)" if one.removed_at else closed
        click.echo(
            f"{one.username:24} {one.role:10} {one.pseudonym}  {votes.get(one.id, 0):8,} votes  "
            f"last seen {seen}{closed}"
        )
    if not people:
        click.echo(
            "There are no accounts yet. Create an admin link with `python manage.py users "
            "invite --role admin`."
        )


@users.command("groups")
def list_groups() -> None:
    """List the groups and the number of their members.

    \b
    Example:
      python manage.py users groups
    """
    with open_database() as db, db.read() as session:
        found = groups.list_groups(session)
    for one in found:
        click.echo(f"{one.group.name}: {one.members:,} members")
    if not found:
        click.echo("There are no groups yet. `python manage.py users group NAME` creates one.")


@users.command("group")
@click.argument("name")
@click.option("--add", "added", metavar="PERSON", multiple=True, help="Add this person.")
@click.option("--remove", "removed", metavar="PERSON", multiple=True, help="Remove this person.")
@click.option("--delete", "is_deleted", is_flag=True, help="Delete the group. Its people stay.")
def change_group(
    name: str, added: tuple[str, ...], removed: tuple[str, ...], is_deleted: bool
) -> None:
    """Create a group, or change who is in it. You can repeat --add and --remove.

    \b
    Examples:
      python manage.py users group "Monday's class"
      python manage.py users group "Monday's class" --add ada --add bob --remove cyd
    """
    with open_database() as db, db.write() as session:
        known = {one.group.name for one in groups.list_groups(session)}
        if is_deleted:
            groups.delete_group(session, groups.find_group(session, name).id)
            click.echo(f"The group {name.strip()} is deleted. Its people stay.")
            return
        if name.strip() not in known and not removed:
            groups.create_group(session, name)
        group = groups.find_group(session, name)
        add, remove = (
            {accounts.find_person(session, one).id for one in people} for people in (added, removed)
        )
        wanted = (groups.members_of(session, group.id) | add) - remove
        groups.set_members(session, group.id, wanted)
        click.echo(f"{group.name}: {len(wanted):,} members")


@users.command("set-role")
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
def set_role(name: str, role: str) -> None:
    """Change the role of a person: annotator, supervisor or admin.

    \b
    Example:
      python manage.py users set-role ada supervisor
    """
    with open_database() as db, db.write() as session:
        change = accounts.set_role(session, accounts.find_person(session, name).id, role)
    click.echo(f"{name} now has the role {role}.")
    _tell_revoked(change)


@users.command()
@click.argument("name")
def deactivate(name: str) -> None:
    """Close an account. The person is signed out at once; their votes stay.

    \b
    Example:
      python manage.py users deactivate ada
    """
    with open_database() as db, db.write() as session:
        change = accounts.deactivate(session, accounts.find_person(session, name).id)
    click.echo(f"The account of {name} is closed. Its votes stay.")
    _tell_revoked(change)


@users.command()
@click.argument("name")
def reactivate(name: str) -> None:
    """Reopen a closed account. Its old password works again.

    \b
    Example:
      python manage.py users reactivate ada
    """
    with open_database() as db, db.write() as session:
        accounts.reactivate(session, accounts.find_person(session, name).id)
    click.echo(f"The account of {name} is open again.")


@users.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def anonymise(name: str, yes: bool) -> None:
    """Erase who a person is, for good. The account is closed; its votes stay.

    The name becomes removed-NUMBER. The password, the sessions, the known browsers and the network
    addresses are erased. Older exports and backups do not change.

    \b
    Example:
      python manage.py users anonymise ada
    """
    with open_database() as db:
        with db.read() as session:
            person = accounts.find_person(session, name)
        if not yes:
            click.confirm(f"Anonymise {person.username}? This cannot be undone.", abort=True)
        with db.write() as session:
            person = accounts.anonymise(session, person.id)
    click.echo(f"The account is now called {person.username}. Its votes stay.")


@users.command("reset-password")
@click.argument("name")
def reset_password(name: str) -> None:
    """Set a new random password, shown only once. The person is signed out everywhere.

    \b
    Example:
      python manage.py users reset-password ada
    """
    with open_database() as db, db.write() as session:
        password = accounts.reset_password(session, name)
    click.echo(password)
    click.echo(
        "Send it to the person safely. It is not shown again. They can change it on the site.",
        err=True,
    )


def _tell_revoked(change: accounts.AccountChange) -> None:
    if change.revoked_links:
        click.echo(f"Open invite links of this person that were revoked: {change.revoked_links}.")
