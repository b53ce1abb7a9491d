"""Commands about the consensus: `consensus rebuild|refresh`."""

from __future__ import annotations

from pathlib import Path

import click

from labeler.campaigns.service import find_campaign
from labeler.cli.context import campaign_option, open_database
from labeler.cli.output import write_csv
from labeler.database.engine import Database
from labeler.models.campaigns import Campaign
from rotation.cli.option_types import OutputFile


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
    from labeler.consensus import store

    with open_database() as db, db.write() as session:
        campaign = find_campaign(session, campaign_name)
        changed = store.rebuild(session, campaign.id)
        name = campaign.name
    click.echo(f"{name}: {changed:,} images changed")


@consensus.command()
@campaign_option
@click.option("--method", help="Use this method on all votes instead of the campaign's own method.")
@click.option(
    "--out",
    type=OutputFile(allow_dash=True),
    metavar="FILE",
    help="With --method: CSV file to write, or - for standard output.",
)
def refresh(campaign_name: str | None, method: str | None, out: Path | None) -> None:
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
        from labeler.exports.batch_consensus import aggregate, stream_aggregation

        write_csv(stream_aggregation(db, *aggregate(db, campaign.id, method)), out)


def _refresh(db: Database, campaign: Campaign) -> None:
    from labeler.quality.refresh import refresh_campaign

    report = refresh_campaign(db, campaign.id, all_images=True)
    click.echo(
        f"{campaign.name}: {report.votes:,} votes of {report.people:,} people; "
        f"{report.changed:,} images changed, {len(report.paused)} people paused"
    )
