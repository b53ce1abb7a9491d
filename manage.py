#!/usr/bin/env python3
"""The command line of Sidelight. A command is imported only when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from labeler.errors import SidelightError
from rotation.errors import RotationError

ROTATION = {
    "run": ("rotation.cli.run:run", "Turn the head of a source face."),
    "poses": ("rotation.cli.poses:poses", "Measure yaw, pitch and roll of every image."),
    "train": ("rotation.training.cli:train_command", "Train a diffusion model on faces."),
    "train-embedding": (
        "rotation.training.cli:train_embedding_command",
        "Train the network that embeds images at once.",
    ),
    "embed": ("rotation.embedding_cli:embed", "Embed a whole image set, in shards if need be."),
    "merge": ("rotation.embedding_cli:merge", "Join the latents of several shards."),
    "embeddings": ("rotation.embedding_cli:embeddings", "Measure the ways to embed an image."),
    "samples": ("rotation.training.cli:samples_command", "Render a sheet of samples of a model."),
    "directions": (
        "rotation.directions_cli:directions",
        "Tell what a direction is worth: halves, bootstrap, an angle left out.",
    ),
    "benchmark": (
        "rotation.benchmark.cli:benchmark",
        "Measure ways of turning against the rendered truth.",
    ),
    "synthesize": ("rotation.synthetic.cli:synthesize", "Render a data set of synthetic heads."),
}

COMMANDS: dict[str, Any] = {
    # name: (module:attribute, one line of help), or (a dictionary of such, one line of help)
    "init": ("labeler.cli.site:init", "Create or upgrade the database."),
    "serve": ("labeler.cli.site:serve", "Serve the labelling site."),
    "worker": ("labeler.cli.site:worker", "Run background jobs (proposals, checks)."),
    "demo": ("labeler.cli.demo:demo", "Make and register the demo data set."),
    "images": ("labeler.cli.images:images", "Register, check and list data sets."),
    "users": ("labeler.cli.users:users", "Invite, list and deactivate people."),
    "campaigns": ("labeler.cli.campaigns:campaigns", "Make, list and change campaigns."),
    "gold": ("labeler.cli.gold:gold", "Images whose answer is known."),
    "consensus": ("labeler.cli.labels:consensus", "Make the consensus anew from the votes."),
    "propose": ("labeler.cli.labels:propose", "Train the proposer on the votes; propose labels."),
    "proposals": ("labeler.cli.proposals:proposals", "List model runs; go back to an older one."),
    "export": ("labeler.cli.labels:export", "Write labels or votes as CSV."),
    "report": ("labeler.cli.report:report", "Draw figures of the labels."),
    "classifier": ("labeler.cli.classifier:classifier", "Fit and use the classifier on files."),
    "rotation": (ROTATION, "Turn heads: train, run, measure."),
}

EXAMPLES = """Sidelight: label where the light on a face comes from, then turn the head.

\b
Examples:
  python manage.py serve
  python manage.py images import ~/CelebA
  python manage.py export labels --out labels.csv
  python manage.py rotation run --images ~/CelebA --labels labels.csv \\
      --source 000123.jpg --yaw -30:30:10 --out turned/
"""


class LazyGroup(click.Group):
    """A group whose commands are named by module and attribute, imported on use."""

    def __init__(self, name: str, targets: Mapping[str, tuple[Any, str]], help: str) -> None:
        super().__init__(name=name, help=help)
        self._targets = targets

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._targets)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._targets:
            return None
        target, text = self._targets[cmd_name]
        if isinstance(target, Mapping):
            return LazyGroup(cmd_name, target, text)
        module, attribute = target.split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._targets.items()])


cli = LazyGroup("manage.py", COMMANDS, EXAMPLES)


def main() -> None:
    """Run the command line; an expected error becomes one message and exit code 1."""
    try:
        cli(prog_name="manage.py")
    except (SidelightError, RotationError) as error:
        raise SystemExit(f"Error: {error}") from None


if __name__ == "__main__":
    main()
