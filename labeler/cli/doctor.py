"""The command `doctor`: check the site and say what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import click

from labeler.config import load_settings
from labeler.doctor.findings import Finding
from labeler.doctor.service import examine
from labeler.errors import ConfigError


@click.command()
@click.option(
    "--fix",
    is_flag=True,
    help="Take the rights of others away, and remove what killed programs have left.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(fix: bool, as_json: bool) -> None:
    """Check settings, files, rights, free space, the database and the images.

    Each check says ok, warning or problem, and what to do. The exit code is 1 if there is a
    problem. The site may run meanwhile. No vote or label is ever changed.

    \b
    Examples:
      python manage.py doctor
      python manage.py doctor --fix
      python manage.py doctor --json
    """
    findings = []
    for finding in _examine(fix):
        findings.append(finding)
        if not as_json:
            click.echo(f"{finding.status:8} {finding.check}: {finding.message}")
            if finding.action:
                click.echo(f"{'':8} To do: {finding.action}")
    if as_json:
        click.echo(json.dumps([asdict(each) for each in findings], indent=1))
    problems = sum(each.status == "problem" for each in findings)
    if not as_json:
        warnings = sum(each.status == "warning" for each in findings)
        click.echo(f"{problems} problems, {warnings} warnings")
    if problems:
        raise SystemExit(1)


def _examine(fix: bool) -> Iterator[Finding]:
    try:
        settings = load_settings(change_home=False)
    except ConfigError as error:
        action = "Correct the settings (docs/settings.md). Nothing else was checked."
        yield Finding("settings", "problem", error.message, action)
        return
    yield Finding("settings", "ok", "All settings are valid.")
    yield from examine(settings, fix=fix)
