"""Commands about campaigns: `campaigns list|create|clone|set` and those of `campaign_states`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from labeler.campaigns import service
from labeler.campaigns.archive import list_archived
from labeler.campaigns.image_selection import check_sample
from labeler.campaigns.service import CampaignPlan
from labeler.cli import campaign_states
from labeler.cli.campaign_states import describe_period
from labeler.cli.context import find_dataset, open_database, progress_bar
from labeler.csv_input import read_filenames
from labeler.models.campaigns import Campaign
from labeler.rules.campaign_rules import Rules, read_rules, write_rule
from labeler.rules.image_selection_spec import ImageSelection
from labeler.rules.validation import RuleError
from labeler.subsets.service import find_subset
from rotation.cli.option_types import InputPath
from rotation.data.csv_text import PLAIN_TEXT, read_text_file

FILE = InputPath()
PARTITIONS = {"train": 0, "valid": 1, "test": 2}


@click.group()
def campaigns() -> None:
    "Create, list and change campaigns: which images are labelled, and by which rules."


for _command in campaign_states.COMMANDS:
    campaigns.add_command(_command)


@campaigns.command("list")
@click.option(
    "--rules", "show_rules", is_flag=True, help="Also list the rules that differ from the defaults."
)
@click.option("--archived", is_flag=True, help="List the archived campaigns instead.")
def list_campaigns(show_rules: bool, archived: bool) -> None:
    """List the campaigns. The active ones are marked with *.

    \b
    Examples:
      python manage.py campaigns list
      python manage.py campaigns list --rules
      python manage.py campaigns list --archived
    """
    with open_database() as db, db.read() as session:
        counts = service.count_images(session)
        found = list_archived(session) if archived else service.list_campaigns(session)
        for campaign in found:
            click.echo(_line(campaign, counts.get(campaign.id, {})))
            if show_rules:
                click.echo(f"    {_differing(campaign)}")
    if not found and archived:
        click.echo("No campaign is archived.")
    elif not found:
        click.echo("There is no campaign. `python manage.py images import PATH` creates one.")


@campaigns.command()
@click.argument("name")
@click.option("--dataset", metavar="NAME", help="Data set. Default: the active one.")
@click.option(
    "--partition",
    "partitions",
    type=click.Choice(list(PARTITIONS)),
    multiple=True,
    help="Select only images of this partition of CelebA. You can repeat this option.",
)
@click.option(
    "--with",
    "wanted",
    metavar="ATTRIBUTE",
    multiple=True,
    help="Select only images with this attribute.",
)
@click.option(
    "--without",
    "barred",
    metavar="ATTRIBUTE",
    multiple=True,
    help="Select only images without this attribute.",
)
@click.option(
    "--list",
    "listed",
    metavar="FILE",
    type=FILE,
    help="Select only these images: a CSV file with a column filename, or one name per line.",
)
@click.option(
    "--subset",
    "subset_name",
    metavar="NAME",
    help="Select only images of this frozen subset.",
)
@click.option(
    "--sample", type=click.IntRange(1), help="Draw this many of the selected images at random."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option(
    "--rule",
    "rules",
    metavar="RULE=VALUE",
    multiple=True,
    help="Set a rule. You can repeat this option.",
)
@click.option(
    "--guideline",
    metavar="FILE",
    type=FILE,
    help="Instructions in Markdown, shown on the page Guide.",
)
@click.option("--activate", is_flag=True, help="Activate it.")
def create(
    name: str,
    dataset: str | None,
    rules: tuple[str, ...],
    guideline: Path | None,
    activate: bool,
    subset_name: str | None,
    **selection: Any,
) -> None:
    """Create a campaign. Nobody can label in it until it is activated.

    \b
    Examples:
      python manage.py campaigns create "First thousand" --sample 1000 --seed 7
      python manage.py campaigns create test --partition test --without Eyeglasses \\
          --rule training=10 --rule "blind_share=25 %" --activate
      python manage.py campaigns create again --subset "sure, right"
    """
    text = _guideline(guideline) if guideline else ""
    plan = CampaignPlan(name, _rules(rules), _selection(**selection), text)
    with open_database() as db:
        with db.read() as session:
            chosen = find_dataset(session, dataset)
            if subset_name is not None:
                subset_id = find_subset(session, subset_name).id
                plan = replace(plan, selection=replace(plan.selection, subset=subset_id))
            check_sample(session, chosen, plan.selection)
            dataset_id = chosen.id
        with progress_bar("Adding images") as report:
            campaign_id = service.create_campaign(db, dataset_id, plan, progress=report)
        with db.write() as session:
            if activate:
                service.activate_campaign(session, campaign_id)
        _tell(campaign_id)


@campaigns.command()
@click.argument("name")
@click.argument("new_name")
def clone(name: str, new_name: str) -> None:
    """Create a campaign with the images and rules of another one, but no votes.

    \b
    Example:
      python manage.py campaigns clone "First thousand" "Once more"
    """
    with open_database() as db:
        with db.read() as session:
            campaign_id = service.find_campaign(session, name).id
        made = service.clone_campaign(db, campaign_id, new_name)
        _tell(made)


@campaigns.command("set")
@click.argument("name")
@click.argument("rules", nargs=-1, metavar="[RULE=VALUE]...")
@click.option("--rename", metavar="NAME", help="New name.")
@click.option(
    "--guideline",
    metavar="FILE",
    type=FILE,
    help="Instructions in Markdown, shown on the page Guide.",
)
def set_rules(
    name: str, rules: tuple[str, ...], rename: str | None, guideline: Path | None
) -> None:
    """Change rules (see docs/campaigns.md) and compute all labels again.

    Without a rule, the current rules are shown.

    \b
    Examples:
      python manage.py campaigns set celeba required_votes=2 threshold=0.97 mirror_views=yes
      python manage.py campaigns set celeba --guideline guideline.md
    """
    from labeler.quality.refresh import refresh_campaign  # late: NumPy

    with open_database() as db:
        with db.write() as session:
            campaign = service.find_campaign(session, name)
            changed = service.edit_campaign(
                session,
                campaign.id,
                name=rename,
                rules=_rules(rules, campaign.parsed_rules) if rules else None,
                guideline=_guideline(guideline) if guideline else None,
            )
        if changed:
            report = refresh_campaign(db, campaign.id, all_images=True)
            click.echo(f"{campaign.name}: the new rules changed {report.changed:,} images")
    for rule, value in campaign.parsed_rules.as_dict().items():
        click.echo(f"  {rule}={write_rule(value)}")


def _selection(
    partitions: tuple[str, ...],
    wanted: tuple[str, ...],
    barred: tuple[str, ...],
    listed: Path | None,
    sample: int | None,
    seed: int,
) -> ImageSelection:
    try:
        return ImageSelection(
            partitions=tuple(PARTITIONS[one] for one in partitions),
            attributes=dict.fromkeys(wanted, True) | dict.fromkeys(barred, False),
            sample=sample,
            seed=seed,
            filenames=_listed(listed) if listed else None,
        )
    except RuleError as error:
        raise click.UsageError(str(error)) from None


def _listed(path: Path) -> tuple[str, ...]:
    names = tuple(read_filenames(read_text_file(path)))
    if not names:
        raise click.ClickException(f"{path} names no image. Write one filename per line.")
    return names


def _rules(pairs: Sequence[str], base: Rules | None = None) -> Rules:
    split = [pair.partition("=") for pair in pairs]
    unclear = [name for name, sign, _ in split if not sign]
    if unclear:
        raise click.UsageError(f"{unclear[0]!r}: write RULE=VALUE, such as required_votes=2.")
    try:
        return read_rules({name.strip(): value for name, _, value in split}, base)
    except RuleError as error:
        raise click.UsageError(str(error)) from None


def _guideline(path: Path) -> str:
    return re.sub(r"\r\n?", "\n", read_text_file(path, PLAIN_TEXT))


def _tell(campaign_id: int) -> None:
    with open_database() as db, db.read() as session:
        counts = service.count_images(session).get(campaign_id, {})
        click.echo(_line(service.get_campaign(session, campaign_id), counts).strip())


def _line(campaign: Campaign, counts: dict[str, int]) -> str:
    mark = "*" if campaign.active else " "
    paused = ", paused" if campaign.paused_at else ""
    period = f", {said}" if (said := describe_period(campaign)) else ""
    restricted = ", only for chosen people" if campaign.restricted else ""
    return (
        f"{mark} {campaign.name}: {sum(counts.values()):,} images of {campaign.dataset.name}, "
        f"{counts.get('agreed', 0):,} agreed, {counts.get('contested', 0):,} contested"
        f"{paused}{period}{restricted}"
    )


def _differing(campaign: Campaign) -> str:
    defaults = Rules().as_dict()
    rules = campaign.parsed_rules.as_dict()
    others = [
        f"{name}={write_rule(value)}" for name, value in rules.items() if value != defaults[name]
    ]
    return " ".join(others) or "all rules have their default values"
