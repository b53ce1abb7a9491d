"""Commands about background jobs: `jobs list|show|cancel|retry`."""

from __future__ import annotations

import click

from labeler.cli.context import open_database
from labeler.jobs import queue
from labeler.models.base import MAX_ID
from labeler.models.jobs import Job


@click.group()
def jobs() -> None:
    """List background jobs, cancel them, or start failed ones again."""


@jobs.command("list")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
def list_jobs(limit: int) -> None:
    """List the newest jobs: number, state, kind, subject, attempts and problem.

    \b
    Example:
      python manage.py jobs list --limit 5
    """
    with open_database() as db, db.read() as session:
        found = queue.list_jobs(session, limit)
    for job in found:
        click.echo(_line(job))
    if not found:
        click.echo("There are no jobs.")


@jobs.command()
@click.argument("job_id", metavar="NUMBER", type=click.IntRange(1, MAX_ID))
def show(job_id: int) -> None:
    """Show a job and its log.

    \b
    Example:
      python manage.py jobs show 12
    """
    with open_database() as db, db.read() as session:
        job = queue.get(session, job_id)
    click.echo(_line(job))
    click.echo(job.log.rstrip() or "The worker has written nothing yet.")


@jobs.command()
@click.argument("job_id", metavar="NUMBER", type=click.IntRange(1, MAX_ID))
def cancel(job_id: int) -> None:
    """Cancel a queued or running job. What it has stored so far stays.

    \b
    Example:
      python manage.py jobs cancel 12
    """
    with open_database() as db, db.write() as session:
        queue.cancel(session, job_id, "the command line")
    click.echo(f"Job {job_id} has been cancelled. A running job ends within a minute.")


@jobs.command()
@click.argument("job_id", metavar="NUMBER", type=click.IntRange(1, MAX_ID))
def retry(job_id: int) -> None:
    """Queue a failed or cancelled job again.

    \b
    Example:
      python manage.py jobs retry 12
    """
    with open_database() as db, db.write() as session:
        queue.retry(session, job_id)
    click.echo(f"Job {job_id} is queued again.")


def _line(job: Job) -> str:
    problem = f"  {job.problem}" if job.problem else ""
    created = f"{job.created_at:%Y-%m-%d %H:%M}"
    return (
        f"{job.id:6}  {job.state:9}  {created}  {job.kind} {job.subject}  "
        f"attempts {job.attempts}{problem}"
    )
