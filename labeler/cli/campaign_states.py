"""Commands that say whether, when and for whom a campaign assigns images, and that put it away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import click
from sqlalchemy.orm import Session

from labeler.accounts.groups import find_group
from labeler.accounts.service import find_person
from labeler.campaigns import archive as archiving
from labeler.campaigns import deletion, service
from labeler.campaigns.audience import Audience, count_audience, load_audience, set_audience
from labeler.campaigns.period import set_period
from labeler.cli.context import open_database, progress_bar
from labeler.config import load_settings
from labeler.jobs.deletion import mark_campaign
from labeler.mean_faces.files import remove as remove_figures
from labeler.models.campaigns import Campaign

NO_LIMIT = "none"


def _read_time(_context: click.Context, _option: click.Parameter, text: str | None) -> object:
    """The time of `--start` or `--end`; None without the option, `NO_LIMIT` for "none"."""
    if text is None or text == NO_LIMIT:
        return text
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise click.BadParameter(
            f"{text!r}: write a date and a time, such as 2026-12-01T09:00, or none."
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


@click.command()
@click.argument("name")
def activate(name: str) -> None:
    """Assign images of this campaign, beside those of other active campaigns.

    \b
    Example:
      python manage.py campaigns activate "First thousand"
    """
    with open_database() as db, db.write() as session:
        campaign = service.activate_campaign(session, service.find_campaign(session, name).id)
        active = service.active_campaigns(session)
        others = [one.name for one in active if one.id != campaign.id]
        found = campaign.name
    click.echo(f"{found} is active.")
    if others:
        click.echo(f"Also active: {', '.join(others)}. People choose where they label.", err=True)


@click.command()
@click.argument("name")
def deactivate(name: str) -> None:
    """Assign no more images of this campaign. Images that people have can still be answered.

    \b
    Example:
      python manage.py campaigns deactivate "First thousand"
    """
    with open_database() as db, db.write() as session:
        campaign = service.deactivate_campaign(session, service.find_campaign(session, name).id)
        active, found = service.active_campaigns(session), campaign.name
    click.echo(f"{found} is not active.")
    if not active:
        click.echo("No campaign is active now, so nobody gets images.", err=True)


@click.command()
@click.argument("name")
def pause(name: str) -> None:
    """Pause the campaign. Images that people already have can still be answered.

    \b
    Example:
      python manage.py campaigns pause "First thousand"
    """
    _change(name, service.pause_campaign, "is paused")


@click.command()
@click.argument("name")
def resume(name: str) -> None:
    """Continue a paused campaign.

    \b
    Example:
      python manage.py campaigns resume "First thousand"
    """
    _change(name, service.resume_campaign, "goes on")


@click.command()
@click.argument("name")
@click.option(
    "--start", metavar="TIME", callback=_read_time, help="First moment, or none for no limit."
)
@click.option("--end", metavar="TIME", callback=_read_time, help="Last moment, or none.")
def period(name: str, start: datetime | str | None, end: datetime | str | None) -> None:
    """Set when images of the campaign are assigned. Without options, the period is shown.

    A time is in UTC, unless it has an offset. Images that people have at the end can still be
    answered.

    \b
    Examples:
      python manage.py campaigns period "Monday" --start 2026-12-07T09:00+01:00
      python manage.py campaigns period "Monday" --end none
    """
    with open_database() as db, db.write() as session:
        campaign = service.find_campaign(session, name)
        starts = _chosen(start, campaign.starts_at)
        set_period(session, campaign.id, starts, _chosen(end, campaign.ends_at))
        click.echo(f"{campaign.name}: {describe_period(campaign) or 'no start and no end'}")


@click.command()
@click.argument("name")
@click.option("--everybody", is_flag=True, help="Let everybody label in it.")
@click.option(
    "--person", "people", metavar="NAME", multiple=True, help="Let this person label in it."
)
@click.option("--group", "groups", metavar="NAME", multiple=True, help="Let this group label.")
def assign(name: str, everybody: bool, people: tuple[str, ...], groups: tuple[str, ...]) -> None:
    """Choose who may label in the campaign. You can repeat --person and --group.

    The people and groups that you name replace those of before. Without options, the present
    choice is shown.

    \b
    Examples:
      python manage.py campaigns assign "Monday" --group "Monday's class" --person ada
      python manage.py campaigns assign "Monday" --everybody
    """
    if everybody and (people or groups):
        raise click.UsageError("Give --everybody, or people and groups, but not both.")
    with open_database() as db, db.write() as session:
        campaign = service.find_campaign(session, name)
        if everybody or people or groups:
            chosen = Audience(
                not everybody,
                frozenset(find_person(session, one).id for one in people),
                frozenset(find_group(session, one).id for one in groups),
            )
            set_audience(session, campaign, chosen)
            session.flush()
        present, size = load_audience(session, campaign), count_audience(session, campaign.id)
        who = (
            f"{len(present.people)} chosen people and {len(present.groups)} groups"
            if present.restricted
            else "everybody"
        )
        click.echo(f"{campaign.name}: {who} ({size:,} with an open account)")


@click.command()
@click.argument("name")
def archive(name: str) -> None:
    """Put the campaign away. Its votes and labels stay. It is in no list; nobody gets its images.

    \b
    Example:
      python manage.py campaigns archive "First thousand"
    """
    _change(name, archiving.archive_campaign, "is archived")


@click.command()
@click.argument("name")
@click.option("--rename", metavar="NAME", help="New name, if another campaign has the old one.")
def restore(name: str, rename: str | None) -> None:
    """Take the campaign out of the archive. It is not active then.

    \b
    Example:
      python manage.py campaigns restore "First thousand" --rename "First thousand of 2025"
    """
    with open_database() as db, db.write() as session:
        campaign_id = archiving.find_archived(session, name).id
        restored = archiving.restore_campaign(session, campaign_id, name=rename)
        click.echo(f"{restored.name} is restored. It is not active.")


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for the name.")
def delete(name: str, yes: bool) -> None:
    """Delete the campaign with all its votes, for good. Export them first.

    \b
    Examples:
      python manage.py export labels --campaign "First thousand" --out labels.csv
      python manage.py export votes --campaign "First thousand" --out votes.csv
      python manage.py campaigns delete "First thousand"
    """
    settings = load_settings()
    with open_database(settings) as db:
        with db.read() as session:
            campaign_id = service.find_campaign(session, name).id
            told = deletion.forecast_deletion(session, campaign_id)
        click.echo(
            f"{told.name} has {told.votes:,} votes of {told.people:,} people on {told.images:,} "
            f"images, {told.gold:,} gold questions and {told.decisions:,} decisions."
        )
        if not yes:
            ask_for_name(told.name)
        with db.write() as session:
            mark_campaign(session, campaign_id)
        with progress_bar("Deleting", " rows") as report:
            deletion.remove_rows(db, campaign_id, report)
        remove_figures(settings.home, campaign_id)
    click.echo(f"{told.name} is deleted.")


def _change(name: str, change: Callable[[Session, int], object], said: str) -> None:
    """Change the campaign with this name, and say so."""
    with open_database() as db, db.write() as session:
        campaign = service.find_campaign(session, name)
        found = campaign.name
        change(session, campaign.id)
    click.echo(f"{found} {said}.")


def ask_for_name(name: str) -> None:
    """Ask for the name of what is to be deleted.

    Raises:
        ClickException: another name was typed.
    """
    if click.prompt("This cannot be undone. Enter the name to delete it") != name:
        raise click.ClickException("The name is another one. Nothing was deleted.")


def describe_period(campaign: Campaign) -> str:
    """The start and the end of a campaign in words; "" without both."""
    times = (("from", campaign.starts_at), ("until", campaign.ends_at))
    return " ".join(
        f"{word} {time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for word, time in times if time
    )


def _chosen(given: datetime | str | None, before: datetime | None) -> datetime | None:
    if given is None:
        return before
    return given if isinstance(given, datetime) else None


COMMANDS = (activate, deactivate, pause, resume, period, assign, archive, restore, delete)
