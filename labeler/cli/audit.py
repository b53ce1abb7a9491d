"""The command `audit`."""

from __future__ import annotations

import click

from labeler.accounts.service import find_person
from labeler.audit import log
from labeler.cli.context import open_database
from rotation.data.formulas import guard_formula
from rotation.data.labels_csv import format_csv

HEADER = ("time", "account", "address", "action", "concerns", "details")


@click.command()
@click.option("--action", type=click.Choice(tuple(log.ACTIONS)), help="Only this kind.")
@click.option("--person", metavar="NAME", help="Only what this person did or what concerns them.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=log.PAGE,
    show_default=True,
    help="Number of entries.",
)
def audit(action: str | None, person: str | None, limit: int) -> None:
    """Show the audit log as CSV, the newest entry first.

    \b
    Examples:
      python manage.py audit
      python manage.py audit --action sign_in_failed --limit 1000
    """
    with open_database() as db, db.read() as session:
        who = find_person(session, person).id if person else None
        events = log.list_events(session, action=action, annotator_id=who, limit=limit)
    click.echo(_row(HEADER))
    for one in events:
        event = one.event
        concerned = one.subject.username if one.subject else ""
        concerns = concerned or f"{event.subject_kind or ''} {event.subject_id or ''}".strip()
        click.echo(
            _row(
                (
                    f"{event.at:%Y-%m-%d %H:%M:%S}",
                    one.actor.username if one.actor else "",
                    event.address or "",
                    event.action,
                    concerns,
                    log.write_details(event.details),
                )
            )
        )


def _row(values: tuple[str, ...]) -> str:
    """A line of CSV. Details hold what people typed, so a spreadsheet must not run it."""
    return format_csv([[guard_formula(value) for value in values]]).removesuffix("\n")
