"""Commands about subsets: `subsets create|list|show|export|freeze|rename|delete`."""

from __future__ import annotations

from pathlib import Path

import click
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from labeler.campaigns.service import find_campaign
from labeler.cli.context import campaign_option, find_dataset, log_event, open_database
from labeler.cli.exports import out_option
from labeler.cli.output import write_csv
from labeler.csv_input import read_filenames
from labeler.errors import InvalidInput
from labeler.images.filtering import ImageFilter
from labeler.models.accounts import Annotator
from labeler.models.campaigns import Campaign
from labeler.models.subsets import Subset
from labeler.progress.campaign_progress import COUNTED_UP_TO
from labeler.subsets import service
from labeler.subsets.members import count_members, filter_of, stream_names
from labeler.web.images.filter import PLACES, describe_in_words, form_of, read_form
from rotation.cli.option_types import InputPath
from rotation.data.csv_text import read_text_file


@click.group()
def subsets() -> None:
    "Keep filters and lists of images under a name."


@subsets.command()
@click.argument("name")
@click.option(
    "--where",
    "conditions",
    metavar="FIELD=VALUE",
    multiple=True,
    help="A condition as in the address of the page “Images”. You can repeat this option.",
)
@click.option("--freeze", is_flag=True, help="Keep the images that the filter finds now.")
@click.option(
    "--list",
    "listed",
    metavar="FILE",
    type=InputPath(),
    help="Keep these images: a CSV file with a column filename, or one name per line.",
)
@click.option("--dataset", metavar="NAME", help="With --list: data set. Default: the active one.")
@campaign_option
def create(
    name: str,
    conditions: tuple[str, ...],
    freeze: bool,
    listed: Path | None,
    dataset: str | None,
    campaign_name: str | None,
) -> None:
    """Keep a filter under a name, or with --freeze or --list an exact list of images.

    A filter means the votes and proposals of a campaign.

    \b
    Examples:
      python manage.py subsets create "sure, right" --where label=right \\
          --where probability_from=95 --where attribute-Smiling=no
      python manage.py subsets create monday --where status=agreed --freeze
      python manage.py subsets create chosen --list chosen.csv
    """
    if listed is not None and (conditions or freeze or campaign_name):
        raise click.UsageError("--list needs no --where, --freeze and --campaign.")
    if listed is None and dataset is not None:
        raise click.UsageError("Use --dataset together with --list. A filter needs --campaign.")
    with open_database() as db:
        with db.write() as session:
            if listed is not None:
                names = read_filenames(read_text_file(listed))
                chosen = find_dataset(session, dataset)
                subset = service.import_names(session, chosen, name, names)
            else:
                campaign = find_campaign(session, campaign_name)
                wanted = _filter(session, campaign, conditions)
                keep = service.freeze_filter if freeze else service.keep_filter
                subset = keep(session, campaign, name, wanted)
        with db.read() as session:
            click.echo(_line(session, service.get_subset(session, subset.id)))


@subsets.command("list")
def list_subsets() -> None:
    """List the subsets, the newest first.

    \b
    Example:
      python manage.py subsets list
    """
    with open_database() as db, db.read() as session:
        found = service.list_subsets(session)
        for subset in found:
            click.echo(_line(session, subset))
    if not found:
        click.echo("There is no subset. `python manage.py subsets create NAME` keeps one.")


@subsets.command()
@click.argument("name")
def show(name: str) -> None:
    """Show a subset: its filter, how many images it has, its hash, and who made it when.

    \b
    Example:
      python manage.py subsets show "sure, right"
    """
    with open_database() as db, db.read() as session:
        subset = service.find_subset(session, name)
        counted = count_members(session, subset)
        maker = session.get(Annotator, subset.created_by_id) if subset.created_by_id else None
        click.echo(_line(session, subset))
        if subset.filter is not None:
            click.echo(f"  filter: {_words(session, subset)}")
        if subset.campaign is not None:
            click.echo(f"  campaign: {subset.campaign.name}")
        if subset.sha256 is not None:
            click.echo(f"  sha256: {subset.sha256}")
        if counted.gone:
            click.echo(f"  broken or no longer there: {counted.gone:,}")
        by = maker.username if maker else "the command line"
        click.echo(f"  made: {subset.created_at:%Y-%m-%d %H:%M} UTC by {by}")


@subsets.command()
@click.argument("name")
@out_option
def export(name: str, out: Path) -> None:
    """Write the file names of a subset as CSV. `rotation run --subset` reads it.

    \b
    Example:
      python manage.py subsets export "sure, right" --out subset.csv
    """
    with open_database() as db:
        with db.read() as session:
            subset = service.find_subset(session, name)
        write_csv(stream_names(db, subset), out)
        log_event(db, "export", ("subset", subset.id), file="subset.csv")


@subsets.command()
@click.argument("name")
@click.argument("new_name")
def freeze(name: str, new_name: str) -> None:
    """Keep the images that a live subset has now as a new, frozen subset.

    \b
    Example:
      python manage.py subsets freeze "sure, right" "sure, right, 1 December"
    """
    with open_database() as db:
        with db.write() as session:
            live = service.find_subset(session, name)
            subset_id = service.freeze_subset(session, live, new_name).id
        with db.read() as session:
            click.echo(_line(session, service.get_subset(session, subset_id)))


@subsets.command()
@click.argument("name")
@click.argument("new_name")
def rename(name: str, new_name: str) -> None:
    """Give a subset another name.

    \b
    Example:
      python manage.py subsets rename monday "Monday’s class"
    """
    with open_database() as db, db.write() as session:
        service.rename_subset(session, service.find_subset(session, name), new_name)
    click.echo(f"{name} is now called {new_name.strip()}.")


@subsets.command()
@click.argument("name")
def delete(name: str) -> None:
    """Delete a subset. Its images and their labels stay, and so do campaigns made from it.

    \b
    Example:
      python manage.py subsets delete monday
    """
    with open_database() as db, db.write() as session:
        service.delete_subset(session, service.find_subset(session, name).id)
    click.echo(f"{name} is deleted.")


def _filter(session: Session, campaign: Campaign, conditions: tuple[str, ...]) -> ImageFilter:
    """Read conditions such as `label=right`.

    Raises:
        click.UsageError: a condition has no `=`.
        InvalidInput: a condition names no field, or a value is not allowed.
    """
    pairs = [one.partition("=") for one in conditions]
    unclear = [name for name, sign, value in pairs if not sign or not value.strip()]
    if unclear:
        raise click.UsageError(f"{unclear[0]!r}: write FIELD=VALUE, such as label=right.")
    form = read_form(MultiDict((name.strip(), value) for name, _, value in pairs))
    for name in {name.strip() for name, _, _ in pairs} & {*PLACES}:
        form.problems["filter"] = f"There is no filter “{name}”."
    form.subsets = service.frozen_names(session, campaign.dataset_id)
    wanted = form.filter(campaign.dataset.attribute_names)
    if wanted is None:
        told = " ".join(f"{name}: {problem}" for name, problem in form.problems.items())
        raise InvalidInput(told)
    return wanted


def _line(session: Session, subset: Subset) -> str:
    counted = count_members(session, subset).images
    count = f"more than {COUNTED_UP_TO:,}" if counted is None else f"{counted:,}"
    kind = "frozen" if subset.is_frozen else "live"
    return f"{subset.name}: {kind}, {count} images of {subset.dataset.name}"


def _words(session: Session, subset: Subset) -> str:
    wanted = filter_of(subset)
    form = form_of(wanted)
    form.subsets = service.frozen_names(session, subset.dataset_id)
    return describe_in_words(form, wanted)
