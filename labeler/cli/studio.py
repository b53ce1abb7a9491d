"""Commands about turned heads: `studio list|export|delete`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.cli.context import open_database
from labeler.cli.output import replace_file
from labeler.config import load_settings
from labeler.errors import NotFound
from labeler.jobs.turning import withdraw_turn
from labeler.models.accounts import Annotator
from labeler.models.jobs import Job
from labeler.models.studio import HeadTurn
from labeler.studio.archive import stream_zip
from labeler.studio.files import remove_files, result_folder
from labeler.studio.results import known_files
from labeler.studio.turns import SEE_ALL, get_turn, list_turns
from rotation.cli.option_types import OutputFile

PAGE = 1000  # turned heads that are read at a time


@dataclass(frozen=True, slots=True)
class _Operator:
    """Who runs the command sees everything."""

    id: int = 0
    role: str = SEE_ALL[-1]


@click.group()
def studio() -> None:
    "List, export and delete the heads that were turned in the studio."


@studio.command("list")
def list_heads() -> None:
    """List the turned heads, the newest first: number, state, name, source, and who made it.

    \b
    Example:
      python manage.py studio list
    """
    with open_database() as db, db.read() as session:
        states = _states(session)
        accounts = session.execute(select(Annotator.id, Annotator.username))
        names = dict(accounts.all())
        turn = None
        for turn in _every_turn(session):
            state = "turned" if turn.finished_at else states.get(turn.job_id or 0, "failed")
            shared = ", shared by a link" if turn.share_hash else ""
            owner = names.get(turn.owner_id or 0, "an account that is gone")
            click.echo(f"{turn.id}  {state}  {turn.name}  ({turn.source_name}, {owner}{shared})")
    if turn is None:
        click.echo("No head has been turned yet. People turn heads on the page “Studio”.")


@studio.command()
@click.argument("number", type=click.IntRange(1))
@click.option(
    "--out",
    required=True,
    type=OutputFile(),
    help="The ZIP file to write.",
)
@click.option("--without-reports", is_flag=True, help="Leave out the reports, which tell labels.")
def export(number: int, out: Path, without_reports: bool) -> None:
    """Write all files of a turned head to a ZIP file, as its page does.

    \b
    Examples:
      python manage.py studio export 12 --out head-12.zip
      python manage.py studio export 12 --out handout.zip --without-reports
    """
    with open_database() as db, db.read() as session:
        turn = get_turn(session, number, _Operator())
        folder = result_folder(load_settings().home, turn)
    reports = not without_reports
    if turn.finished_at is None or not known_files(folder, reports=reports):
        raise NotFound(f"The turned head {number} has no files.")
    replace_file(out, stream_zip(folder, out.stem, reports=reports))
    click.echo(f"{out}: {len(known_files(folder, reports=reports))} files of {turn.name}")


@studio.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(number: int, yes: bool) -> None:
    """Delete a turned head with its files and its link. A turn under way is cancelled.

    \b
    Examples:
      python manage.py studio delete 12
      python manage.py studio delete 12 --yes
    """
    with open_database() as db:
        with db.read() as session:
            name = get_turn(session, number, _Operator()).name
        if not yes:
            click.confirm(f"Delete {name} and its files? This cannot be undone.", abort=True)
        with db.write() as session:
            turn = get_turn(session, number, _Operator())
            withdraw_turn(session, turn, "the command line")
        remove_files(load_settings().home, number)
    click.echo(f"{name} is deleted.")


def _every_turn(session: Session) -> Iterator[HeadTurn]:
    last = None
    while found := list_turns(session, _Operator(), limit=PAGE, before_id=last):
        yield from found
        last = found[-1].id


def _states(session: Session) -> Mapping[int, str]:
    """The state of the job of each turn without a result, by the number of the job."""
    words = {"queued": "waiting", "running": "turning", "cancelled": "cancelled"}
    wanted = select(HeadTurn.job_id).where(HeadTurn.finished_at.is_(None))
    jobs = session.execute(select(Job.id, Job.state).where(Job.id.in_(wanted)))
    return {number: words.get(state, "failed") for number, state in jobs}
