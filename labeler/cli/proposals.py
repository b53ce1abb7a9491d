"""Commands about model runs: `proposals runs|rollback`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from labeler.cli.bar import progress_bar
from labeler.cli.context import open_database
from labeler.cli.labels import campaign_option
from labeler.config import load_settings
from labeler.errors import Conflict
from labeler.models import ModelRun
from labeler.services.campaigns import find_campaign

RUNS_SHOWN = 20


@click.group()
def proposals() -> None:
    "List the model runs of a data set and go back to an older run."


@proposals.command()
@campaign_option
def runs(campaign_name: str | None) -> None:
    """List the last model runs of the campaign's data set. The current one is marked with *.

    \b
    Example:
      python manage.py proposals runs
    """
    from labeler.services.overview import list_runs
    from labeler.services.restoring import count_proposals
    from labeler.services.runs import current_run

    with open_database() as db, db.read() as session:
        campaign = find_campaign(session, campaign_name)
        found = list_runs(session, campaign.dataset_id, RUNS_SHOWN)
        current = current_run(session, campaign.dataset_id)
        kept = count_proposals(session, [run.id for run in found])
        for run in found:
            click.echo(_line(run, current is not None and run.id == current.id, kept))
    if not found:
        click.echo("There is no model run. `python manage.py propose` trains one.")


@proposals.command()
@click.argument("run_id", metavar="[RUN]", type=click.IntRange(1), required=False)
@campaign_option
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="Processes that read images. Default: one per processor.",
)
def rollback(run_id: int | None, campaign_name: str | None, processes: int | None) -> None:
    """Go back to an older model run. Default: the one that was current before.

    Its proposals replace the newer ones at once, and all labels are computed again. Nothing is
    lost: you can go back to the newer run in the same way.

    \b
    Examples:
      python manage.py proposals rollback
      python manage.py proposals rollback 7
    """
    from labeler.services.feature_cache import FILE, FeatureCache
    from labeler.services.refreshing import refresh_dataset
    from labeler.services.restoring import restore_run
    from labeler.services.runs import previous_run

    settings = load_settings()
    with open_database(settings) as db:
        with db.read() as session:
            dataset_id = find_campaign(session, campaign_name).dataset_id
            before = None if run_id else previous_run(session, dataset_id)
        if run_id is None:
            if before is None:
                raise Conflict("There is no other published run to go back to.")
            run_id = before.id
        with progress_bar("Proposing") as report:
            cache = FeatureCache(settings.home / FILE)
            made = restore_run(db, run_id, None, cache, report, processes)
        refresh_dataset(db, dataset_id)
    click.echo(f"Run {run_id} is current. {made:,} of its proposals were computed again.")


def _line(run: ModelRun, is_current: bool, kept: Mapping[int, int]) -> str:
    figures = run.metrics.get("cross_validation")
    parts = [
        f"{'*' if is_current else ' '} run {run.id}",
        run.status,
        f"{run.published_at or run.created_at:%Y-%m-%d %H:%M} UTC",
        f"{run.metrics.get('n_training', 0):,} labelled images",
        f"accuracy {figures['accuracy']:.1%}" if figures else "accuracy not known",
        f"{kept.get(run.id, 0):,} proposals kept",
    ]
    return ", ".join(parts) + (f": {run.problem}" if run.problem else "")
