"""Commands about data sets: `images import|list|check|poses|activate|delete`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from shlex import quote

import click

from labeler.campaigns.service import active_campaigns
from labeler.cli.campaign_states import ask_for_name
from labeler.cli.context import find_dataset, open_database, progress_bar
from labeler.config import load_settings
from labeler.database.engine import AdvisoryLock, Database
from labeler.database.work_lock import work_lock
from labeler.images import deletion
from labeler.images.checking import CheckReport, check_images
from labeler.images.datasets import list_broken, list_datasets
from labeler.images.head_pose import YawReport, load_yaw, measure_yaw
from labeler.images.registration import RegisterReport, activate_dataset, register_dataset
from labeler.jobs.deletion import mark_dataset
from labeler.mean_faces.files import remove as remove_figures
from labeler.models.images import Dataset
from labeler.progress.campaign_progress import DatasetProgress, dataset_progress
from rotation.cli.option_types import InputPath

BROKEN_SHOWN = 10


@click.group()
def images() -> None:
    """Register, check and list data sets."""


@images.command("import")
@click.argument("path", type=InputPath())
@click.option("--name", help="Name of the data set. Default: the name of the folder or zip file.")
@click.option(
    "--check/--no-check",
    default=True,
    help="Check that every image can be decoded.  [default: check]",
)
@click.option(
    "--activate/--no-activate",
    default=True,
    help="Activate the campaign of this data set.  [default: activate]",
)
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True)
def import_images(
    path: Path, name: str | None, check: bool, activate: bool, processes: int
) -> None:
    """Register a folder or zip file of images. The images stay where they are.

    For CelebA, PATH is the folder that contains img_align_celeba.zip (or the folder of that
    name). The files list_attr_celeba, identity_CelebA, list_eval_partition and
    list_landmarks_align_celeba (.txt or .csv) are read if they are there or in the zip. You can
    run the command again: it continues where it was stopped.

    \b
    Examples:
      python manage.py images import ~/CelebA
      python manage.py images import ~/pictures --name pictures --no-activate
    """
    with open_database() as db, work_lock(db, AdvisoryLock.IMPORT):
        with db.read() as session:
            before = {one.id for one in active_campaigns(session)}
        with progress_bar("Registering") as report:
            registered = register_dataset(db, path, name, activate, report)
        _tell_registered(registered, activate)
        _tell_joined(db, before)
        if check:
            _check(db, registered.dataset_id, processes)
        else:
            click.echo(
                "The images have not been checked yet. `python manage.py images check` makes "
                "them available for labelling."
            )


@images.command("list")
@click.option(
    "--broken", is_flag=True, help="Also list the images that cannot be used, with the reason."
)
@click.option("--dataset", "name", metavar="NAME", help="List only this data set.")
def list_images(broken: bool, name: str | None) -> None:
    """List the data sets. The active ones are marked with *.

    \b
    Examples:
      python manage.py images list
      python manage.py images list --broken
    """
    with open_database() as db, db.read() as session:
        wanted = [find_dataset(session, name)] if name else list_datasets(session)
        for dataset in wanted:
            click.echo(_line(dataset, dataset_progress(session, dataset.id)))
            if broken:
                for image in list_broken(session, dataset.id):
                    problem = (image.problem or "").removeprefix(f"{image.filename}: ")
                    click.echo(f"    {image.filename}: {problem}")
    if not wanted:
        click.echo(
            "No data set is registered. `python manage.py images import PATH` registers one."
        )


@images.command()
@click.option("--dataset", "name", metavar="NAME", help="Data set. Default: the active one.")
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True)
def check(name: str | None, processes: int) -> None:
    """Check that new images can be decoded. Those that can are available for labelling.

    \b
    Example:
      python manage.py images check
    """
    with open_database() as db, work_lock(db, AdvisoryLock.IMPORT):
        with db.read() as session:
            dataset_id = find_dataset(session, name).id
        _check(db, dataset_id, processes)


@images.command()
@click.argument("file", type=InputPath(), required=False)
@click.option("--dataset", "name", metavar="NAME", help="Data set. Default: the active one.")
def poses(file: Path | None, name: str | None) -> None:
    """Store the yaw of each face (how far the head is turned) from FILE.

    FILE is a poses.csv of `rotation poses`. If one line is wrong, nothing is stored. Without FILE,
    the yaw is computed from CelebA's landmark file.

    \b
    Examples:
      python manage.py images poses
      python manage.py images poses poses.csv --dataset celeba
    """
    with open_database() as db:
        with db.read() as session:
            dataset = find_dataset(session, name)
        report = load_yaw(db, dataset.id, file) if file else measure_yaw(db, dataset.id)
    _tell_yaw(dataset.name, report)


@images.command()
@click.argument("name")
def activate(name: str) -> None:
    """Activate the newest campaign of this data set, beside those that are active.

    \b
    Example:
      python manage.py images activate img_align_celeba
    """
    with open_database() as db, db.write() as session:
        activate_dataset(session, name)
    click.echo(f"{name} is active.")


@images.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for the name.")
def delete(name: str, yes: bool) -> None:
    """Delete the data set with all its campaigns and votes, for good. The image files stay.

    Export the labels of each campaign first. None of its campaigns may be active.

    \b
    Example:
      python manage.py images delete img_align_celeba
    """
    from labeler.images.pose_measuring import remove_poses  # late: NumPy

    settings = load_settings()
    with open_database(settings) as db, work_lock(db, AdvisoryLock.IMPORT):
        with db.read() as session:
            dataset_id = find_dataset(session, name).id
            told = deletion.forecast_deletion(session, dataset_id)
        click.echo(
            f"{told.name} has {told.images:,} images, {told.campaigns:,} campaigns, "
            f"{told.votes:,} votes of {told.people:,} people and {told.runs:,} model runs."
        )
        if not yes:
            ask_for_name(told.name)
        with db.write() as session:
            mark_dataset(session, dataset_id)
        with progress_bar("Deleting", " rows") as report:
            campaign_ids = deletion.remove_rows(db, dataset_id, report)
        for campaign_id in campaign_ids:
            remove_figures(settings.home, campaign_id)
        remove_poses(settings.home, dataset_id)
    click.echo(f"{told.name} is deleted. Its files stay in {told.path}")


def _tell_registered(report: RegisterReport, activate: bool) -> None:
    click.echo(
        f"{report.name}: {report.total:,} images ({report.added:,} new, "
        f"{report.changed:,} changed, {report.unchanged:,} as before), "
        f"{report.attributes} attributes" + (", active" if activate else "")
    )
    for problem in report.problems:
        click.echo(f"Note: {problem}", err=True)


def _tell_joined(db: Database, before: Collection[int]) -> None:
    """Say that another campaign is active beside those that were.

    Parameters:
        before: the numbers of the campaigns that were active.
    """
    with db.read() as session:
        active = active_campaigns(session)
    new = [one.name for one in active if one.id not in before]
    others = [repr(one.name) for one in active if one.id in before]
    if new and others:
        click.echo(
            f"Note: the campaign {new[0]!r} is now active beside {', '.join(others)}. People "
            "choose where they label, and stay where they are until then. `python manage.py "
            f"campaigns deactivate {quote(new[0])}` takes it away again.",
            err=True,
        )


def _check(db: Database, dataset_id: int, processes: int) -> None:
    with progress_bar("Checking") as progress:
        report = check_images(db, dataset_id, progress, processes)
    _tell_checked(report)


def _tell_checked(report: CheckReport) -> None:
    click.echo(
        f"Checked {report.checked:,}: {report.ok:,} can be labelled, "
        f"{len(report.broken):,} are broken"
    )
    for filename, problem in report.broken[:BROKEN_SHOWN]:
        click.echo(f"Broken: {filename}: {problem.removeprefix(filename + ': ')}", err=True)
    if len(report.broken) > BROKEN_SHOWN:
        click.echo("`python manage.py images list --broken` lists all of them", err=True)


def _tell_yaw(name: str, report: YawReport) -> None:
    click.echo(f"{name}: stored the yaw of {report.stored:,} images")
    if report.faceless:
        click.echo(
            f"Note: no face was found in {report.faceless:,} images, or its pose is doubtful; they "
            "have no pose",
            err=True,
        )
    if report.missing:
        click.echo(f"Note: {report.missing:,} images got no new pose", err=True)
    if report.foreign:
        some = ", ".join(repr(foreign) for foreign in report.foreign[:3])
        click.echo(
            f"Note: {len(report.foreign):,} names are not in the data set: {some}"
            + (", ..." if len(report.foreign) > 3 else ""),
            err=True,
        )


def _line(dataset: Dataset, progress: DatasetProgress) -> str:
    mark = "*" if dataset.active else " "
    return (
        f"{mark} {dataset.name}: {progress.images:,} images, {progress.broken:,} broken, "
        f"{progress.unchecked:,} unchecked; {dataset.path}"
    )
