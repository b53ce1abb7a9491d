"""Commands about labels: `consensus rebuild`, `propose`, `export labels|votes`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from labeler.cli.bar import progress_bar
from labeler.cli.context import open_database
from labeler.config import load_settings
from labeler.db import Database
from labeler.domain.labels import LABELS
from labeler.models import Campaign
from labeler.services.campaigns import find_campaign

F = TypeVar("F", bound=Callable[..., Any])

UNREADABLE_SHOWN = 10


def campaign_option(command: F) -> F:
    """`--campaign NAME`."""
    return click.option(
        "--campaign", "campaign_name", metavar="NAME", help="Campaign. Default: the active one."
    )(command)


def out_option(command: F) -> F:
    """`--out FILE`, `-` for standard output."""
    return click.option(
        "--out", required=True, metavar="FILE", help="File to write, or - for standard output."
    )(command)


@click.group()
def consensus() -> None:
    "Combine the votes on each image into one label."


@consensus.command()
@campaign_option
def rebuild(campaign_name: str | None) -> None:
    """Compute the label of every image again from its votes.

    The result should equal the labels that are updated with every vote. If not, the command says
    how many images it corrected.

    \b
    Example:
      python manage.py consensus rebuild
    """
    from labeler.services import consensus as service

    with open_database() as db, db.write() as session:
        campaign = find_campaign(session, campaign_name)
        changed = service.rebuild(session, campaign.id)
        name = campaign.name
    click.echo(f"{name}: {changed:,} images changed")


@consensus.command()
@campaign_option
@click.option("--method", help="Use this method on all votes instead of the campaign's own method.")
@click.option(
    "--out", metavar="FILE", help="With --method: CSV file to write, or - for standard output."
)
def refresh(campaign_name: str | None, method: str | None, out: str | None) -> None:
    """Estimate how reliable each person is and compute all labels again.

    The background worker does this regularly. With --method the labels are written to a file with
    the columns of `export labels`, and the database does not change. Methods: majority,
    dawid-skene, one-coin, model-and-votes, skills.

    \b
    Examples:
      python manage.py consensus refresh
      python manage.py consensus refresh --method dawid-skene --out dawid_skene.csv
    """
    if (method is None) != (out is None):
        raise click.UsageError("Give --method and --out together.")
    with open_database() as db:
        with db.read() as session:
            campaign = find_campaign(session, campaign_name)
        if method is None or out is None:
            _refresh(db, campaign)
            return
        from labeler.services.aggregating import aggregate, stream_aggregation

        write_csv(stream_aggregation(db, *aggregate(db, campaign.id, method)), out)


def _refresh(db: Database, campaign: Campaign) -> None:
    from labeler.services.refreshing import refresh_campaign

    report = refresh_campaign(db, campaign.id, all_images=True)
    click.echo(
        f"{campaign.name}: {report.votes:,} votes of {report.people:,} people; "
        f"{report.changed:,} images changed, {len(report.paused)} people paused"
    )


@click.command()
@campaign_option
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="Processes that read images. Default: one per processor.",
)
def propose(campaign_name: str | None, processes: int | None) -> None:
    """Train a model on the votes so far and propose a label for every image.

    People can continue labelling. All proposals appear together at the end. The model is trained
    on votes, never on earlier proposals. Its accuracy is measured on people left out of training.

    \b
    Examples:
      python manage.py propose
      python manage.py propose --campaign celeba --processes 1
    """
    from labeler.services.feature_cache import FILE, FeatureCache
    from labeler.services.proposing import train_and_propose
    from labeler.services.refreshing import refresh_dataset

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
def export() -> None:
    """Export labels or votes as CSV (docs/export.md describes the columns)."""


@export.command()
@out_option
@campaign_option
@click.option(
    "--with-proposals",
    is_flag=True,
    help="Where the votes have no label, use the proposal of the current model.",
)
@click.option(
    "--precision",
    metavar="SHARE",
    callback=lambda _context, _option, text: _read_precision(text),
    help="With proposals: use only those of which at least this share is right, such as 95%.",
)
def labels(
    out: str, campaign_name: str | None, with_proposals: bool, precision: float | None
) -> None:
    """Write one row per image: label, votes and probabilities.

    \b
    Examples:
      python manage.py export labels --out labels.csv
      python manage.py export labels --out - --with-proposals | gzip > labels.csv.gz
      python manage.py export labels --out labels.csv --with-proposals --precision 95%
    """
    from labeler.services.exporting import stream_labels

    if precision is not None and not with_proposals:
        raise click.UsageError("Use --precision together with --with-proposals.")
    with open_database() as db:
        with db.read() as session:
            campaign = find_campaign(session, campaign_name)
        write_csv(stream_labels(db, campaign.id, with_proposals, precision), out)


@export.command()
@out_option
@campaign_option
def votes(out: str, campaign_name: str | None) -> None:
    """Write one row per vote, including replaced votes. People appear under pseudonyms.

    \b
    Example:
      python manage.py export votes --out votes.csv
    """
    from labeler.services.exporting import stream_votes

    with open_database() as db:
        with db.read() as session:
            campaign = find_campaign(session, campaign_name)
        write_csv(stream_votes(db, campaign.id), out)


def _read_precision(text: str | None) -> float | None:
    """`95%`, `95 %` or `0.95`."""
    if text is None:
        return None
    try:
        share = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise click.BadParameter(f"{text!r}: enter a share such as 95% or 0.95.")
    return share


def write_csv(chunks: Iterable[str], out: str) -> None:
    """Write UTF-8 text to a file, all of it or nothing; `-` is standard output."""
    if out == "-":
        for chunk in chunks:
            sys.stdout.buffer.write(chunk.encode())
        sys.stdout.buffer.flush()
        return
    try:
        rows = _replace_file(Path(out).expanduser(), chunks)
    except OSError as error:
        raise click.ClickException(f"Cannot write {out}: {error.strerror}") from None
    click.echo(f"{out}: {rows:,} rows")


def _replace_file(path: Path, chunks: Iterable[str]) -> int:
    """Write beside the file and rename, so that a reader never sees half of it; counts rows."""
    if path.is_dir():
        raise click.ClickException(f"{path} is a folder. Name a file, such as {path}/labels.csv")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    lines = 0
    try:
        with part.open("x", encoding="utf-8", newline="") as file:
            for chunk in chunks:
                file.write(chunk)
                lines += chunk.count("\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return lines - 1


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
        f"on people left out: accuracy {figures['accuracy']:.1%} (always the commonest label: "
        f"{figures['accuracy_of_commonest_label']:.1%}), macro F1 {figures['macro_f1']:.3f}, "
        f"log loss {figures['log_loss']:.3f}, calibration error {figures['ece']:.3f}"
    )
