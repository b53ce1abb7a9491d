"""Commands about gold questions: `gold import|from-supervisors|promote|list|revoke`."""

from __future__ import annotations

from typing import BinaryIO

import click
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from labeler.campaigns.service import find_campaign
from labeler.cli.context import campaign_option, open_database, subset_option, use_subset
from labeler.csv_input import read_gold_csv, read_upload
from labeler.database.engine import Database
from labeler.errors import NotFound
from labeler.gold import service
from labeler.gold.service import GoldReport
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Gold
from labeler.models.images import Image
from labeler.subsets.members import select_members
from labeler.subsets.service import get_subset
from rotation.cli.option_types import InputFile

ALL = 1_000_000  # a limit that no campaign reaches


@click.group()
def gold() -> None:
    "Manage gold questions: images whose correct answer is known."


@gold.command("import")
@click.argument("file", type=InputFile())
@campaign_option
def import_gold(file: BinaryIO, campaign_name: str | None) -> None:
    """Import gold questions from FILE. If one line is wrong, nothing is imported.

    FILE is a CSV file with the columns filename, label and optionally explanation. The
    qualification shows the explanation. Rows without a label, such as unsure, are passed over.

    \b
    Examples:
      python manage.py gold import gold.csv
      python manage.py gold import gold.csv --campaign celeba
    """
    gold_file = read_gold_csv(read_upload(file))
    with open_database() as db:
        with db.write() as session:
            campaign = find_campaign(session, campaign_name)
            report = service.import_gold(session, campaign.id, gold_file.lines)
        _tell(db, campaign.id, campaign.name, report)
    if gold_file.without_label:
        click.echo(f"Rows without a label, passed over: {gold_file.without_label:,}", err=True)


@gold.command("from-supervisors")
@campaign_option
@subset_option
def from_supervisors(campaign_name: str | None, subset_name: str | None) -> None:
    """Make gold questions of the images on which supervisors and admins agree.

    \b
    Example:
      python manage.py gold from-supervisors
    """
    with open_database() as db:
        with db.write() as session:
            campaign = find_campaign(session, campaign_name)
            among = _among(session, subset_name, campaign)
            report = service.gold_from_supervisors(session, campaign.id, among=among)
        _tell(db, campaign.id, campaign.name, report)


@gold.command()
@click.option(
    "--min-votes",
    type=click.IntRange(2),
    default=3,
    show_default=True,
    help="Smallest number of people who agree, if nobody disagrees.",
)
@click.option(
    "--count",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="Number of images, drawn at random, equally many of each label if possible.",
)
@campaign_option
@subset_option
def promote(min_votes: int, count: int, campaign_name: str | None, subset_name: str | None) -> None:
    """Make gold questions of images on which everybody agrees.

    \b
    Examples:
      python manage.py gold promote --min-votes 4 --count 60
      python manage.py gold promote --subset "sure, right"
    """
    with open_database() as db:
        with db.write() as session:
            campaign = find_campaign(session, campaign_name)
            among = _among(session, subset_name, campaign)
            report = service.promote_unanimous(session, campaign.id, min_votes, count, among=among)
        _tell(db, campaign.id, campaign.name, report)


@gold.command("list")
@campaign_option
def list_gold(campaign_name: str | None) -> None:
    """List the gold questions: label, source, and how many people were right.

    \b
    Example:
      python manage.py gold list
    """
    with open_database() as db, db.read() as session:
        campaign = find_campaign(session, campaign_name)
        found = service.list_gold(session, campaign.id, ALL)
    for one in found:
        right = f"{one.right} of {one.asked} right" if one.asked else "not shown yet"
        click.echo(f"{one.image.filename}  {one.gold.label}  ({one.gold.source})  {right}")
    if not found:
        click.echo(
            "There are no gold questions. `python manage.py gold import FILE` adds some.", err=True
        )


@gold.command()
@click.argument("filename")
@campaign_option
def revoke(filename: str, campaign_name: str | None) -> None:
    """Make a gold question an ordinary image again.

    \b
    Example:
      python manage.py gold revoke 000123.jpg
    """
    with open_database() as db:
        with db.write() as session:
            campaign = find_campaign(session, campaign_name)
            gold_id = session.scalar(
                select(Gold.id)
                .join(Image, Image.id == Gold.image_id)
                .where(
                    Gold.campaign_id == campaign.id,
                    Gold.revoked_at.is_(None),
                    Image.filename == filename,
                )
            )
            if gold_id is None:
                raise NotFound(f"{filename!r} is not a gold question of {campaign.name!r}.")
            service.revoke_gold(session, gold_id)
        _refresh(db, campaign.id)
    click.echo(f"{filename} is no longer a gold question.")


def _among(session: Session, name: str | None, campaign: Campaign) -> Select[int] | None:
    """Return what selects the images to choose from; None without a subset."""
    subset_id = use_subset(session, name, campaign)
    return None if subset_id is None else select_members(session, get_subset(session, subset_id))


def _tell(db: Database, campaign_id: int, name: str, report: GoldReport) -> None:
    if report.added or report.changed:
        _refresh(db, campaign_id)
    click.echo(
        f"{name}: {report.added:,} gold questions added, {report.changed:,} changed, "
        f"{report.unchanged:,} unchanged"
    )


def _refresh(db: Database, campaign_id: int) -> None:
    from labeler.quality.refresh import refresh_campaign  # late: NumPy

    refresh_campaign(db, campaign_id)
