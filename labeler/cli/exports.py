"""Commands that write CSV files: `export labels|votes`."""

from __future__ import annotations

from pathlib import Path

import click

from labeler.campaigns.service import find_campaign
from labeler.cli.context import (
    Command,
    campaign_option,
    log_event,
    open_database,
    subset_option,
    use_subset,
)
from labeler.cli.output import write_csv
from rotation.cli.option_types import OutputFile


def out_option(command: Command) -> Command:
    """Add the option `--out FILE`; `-` is standard output."""
    return click.option(
        "--out",
        required=True,
        type=OutputFile(allow_dash=True),
        metavar="FILE",
        help="File to write, or - for standard output.",
    )(command)


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
@subset_option
def labels(
    out: Path,
    campaign_name: str | None,
    with_proposals: bool,
    precision: float | None,
    subset_name: str | None,
) -> None:
    """Write one row per image: label, votes and probabilities.

    \b
    Examples:
      python manage.py export labels --out labels.csv
      python manage.py export labels --out - --with-proposals | gzip > labels.csv.gz
      python manage.py export labels --out labels.csv --with-proposals --precision 95%
      python manage.py export labels --out labels.csv --subset "sure, right"
    """
    from labeler.exports.csv_files import stream_labels

    if precision is not None and not with_proposals:
        raise click.UsageError("Use --precision together with --with-proposals.")
    with open_database() as db:
        with db.read() as session:
            campaign = find_campaign(session, campaign_name)
            subset_id = use_subset(session, subset_name, campaign)
        write_csv(stream_labels(db, campaign.id, with_proposals, precision, subset_id), out)
        log_event(db, "export", ("campaign", campaign.id), file="labels.csv")


@export.command()
@out_option
@campaign_option
def votes(out: Path, campaign_name: str | None) -> None:
    """Write one row per vote, including replaced votes. People appear under pseudonyms.

    \b
    Example:
      python manage.py export votes --out votes.csv
    """
    from labeler.exports.csv_files import stream_votes

    with open_database() as db:
        with db.read() as session:
            campaign = find_campaign(session, campaign_name)
        write_csv(stream_votes(db, campaign.id), out)
        log_event(db, "export", ("campaign", campaign.id), file="votes.csv")


def _read_precision(text: str | None) -> float | None:
    """Read a share such as `95%`, `95 %` or `0.95`."""
    if text is None:
        return None
    try:
        share = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise click.BadParameter(f"{text!r}: enter a share such as 95% or 0.95.")
    return share
