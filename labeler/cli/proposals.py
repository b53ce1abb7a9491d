"""Commands about model runs: `propose`, `proposals runs|rollback`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from labeler.campaigns.service import find_campaign
from labeler.cli.context import campaign_option, open_database, processes_option, progress_bar
from labeler.config import load_settings
from labeler.errors import Conflict
from labeler.models.base import MAX_ID
from labeler.models.proposals import ModelRun
from rotation.data.labels import LABELS

RUNS_SHOWN = 20
UNREADABLE_SHOWN = 10


@click.command()
@campaign_option
@processes_option
def propose(campaign_name: str | None, processes: int | None) -> None:
    """Train a model on the votes so far and propose a label for every image.

    People can continue labelling. All proposals appear together at the end. The model is trained
    on votes, never on earlier proposals. Its accuracy is measured on people left out of training.

    \b
    Examples:
      python manage.py propose
      python manage.py propose --campaign celeba --processes 1
    """
    from labeler.proposals.feature_cache import FILE, FeatureCache
    from labeler.proposals.service import train_and_propose
    from labeler.quality.refresh import refresh_dataset

    settings = load_settings()
    cache = FeatureCache(settings.home / FILE)
    with open_database(settings) as db:
        with db.read() as session:
            campaign = find_campaign(session, campaign_name)
        with progress_bar("Proposing") as report:
            result = train_and_propose(db, campaign.id, report, processes, cache)
        refresh_dataset(db, campaign.dataset_id)
    _report_run(campaign.name, result)


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
    from labeler.proposals.rollback import count_proposals
    from labeler.proposals.runs import current_run, list_runs

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
@click.argument("run_id", metavar="[RUN]", type=click.IntRange(1, MAX_ID), required=False)
@campaign_option
@processes_option
def rollback(run_id: int | None, campaign_name: str | None, processes: int | None) -> None:
    """Go back to an older model run. Default: the one that was current before.

    Its proposals replace the newer ones at once, and all labels are computed again. Nothing is
    lost: you can go back to the newer run in the same way.

    \b
    Examples:
      python manage.py proposals rollback
      python manage.py proposals rollback 7
    """
    from labeler.proposals.feature_cache import FILE, FeatureCache
    from labeler.proposals.rollback import restore_run
    from labeler.proposals.runs import previous_run
    from labeler.quality.refresh import refresh_dataset

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


def _report_run(name: str, result: Any) -> None:
    metrics = result.metrics
    click.echo(
        f"{name}: model run {result.run_id} learned from {metrics['n_training']:,} images "
        f"({metrics['n_agreed']:,} agreed) in {metrics['training_seconds']} s and proposes a label "
        f"for {result.n_proposed:,} in {metrics['proposing_seconds']} s"
    )
    click.echo(_describe_accuracy(metrics["cross_validation"]))
    shares = metrics["mean_probabilities"]
    click.echo("expected: " + ", ".join(f"{shares[label]:.0%} {label}" for label in LABELS))
    for problem in result.unreadable[:UNREADABLE_SHOWN]:
        click.echo(f"no proposal: {problem}", err=True)
    if len(result.unreadable) > UNREADABLE_SHOWN:
        click.echo(f"no proposal for {len(result.unreadable) - UNREADABLE_SHOWN} more", err=True)


def _describe_accuracy(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return "accuracy: not known, because all labelled images show one person"
    return (
        f"on people left out: accuracy {figures['accuracy']:.1%} (always the most common label: "
        f"{figures['accuracy_of_commonest_label']:.1%}), macro F1 {figures['macro_f1']:.3f}, "
        f"log loss {figures['log_loss']:.3f}, calibration error {figures['ece']:.3f}"
    )


def _line(run: ModelRun, is_current: bool, kept: Mapping[int, int]) -> str:
    from labeler.proposals.runs import was_stopped

    figures = run.metrics.get("cross_validation")
    parts = [
        f"{'*' if is_current else ' '} run {run.id}",
        "stopped" if was_stopped(run) else run.status,
        f"{run.published_at or run.created_at:%Y-%m-%d %H:%M} UTC",
        f"{run.metrics.get('n_training', 0):,} labelled images",
        f"accuracy {figures['accuracy']:.1%}" if figures else "accuracy not known",
        f"{kept.get(run.id, 0):,} proposals kept",
    ]
    return ", ".join(parts) + (f": {run.problem}" if run.problem else "")
