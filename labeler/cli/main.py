"""The command line: `manage.py`, `sidelight` and `python -m labeler.cli`.

A command is imported only when it is used. To add one, add a line to `COMMANDS`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from labeler import __version__
from labeler.errors import SidelightError
from rotation.errors import RotationError

ROTATION = {
    "run": ("rotation.cli.run:run", "Turn the head of a source face."),
    "poses": ("rotation.cli.poses:poses", "Measure yaw, pitch and roll of every image."),
    "train": ("rotation.cli.train:train_command", "Train a diffusion model on faces."),
    "train-embedding": (
        "rotation.cli.train:train_embedding_command",
        "Train the network that encodes an image in one step.",
    ),
    "train-refiner": (
        "rotation.cli.train_refiner:train_refiner_command",
        "Train what draws the hidden parts of turned heads.",
    ),
    "embed": ("rotation.cli.embed:embed", "Encode a whole image set, in shards if needed."),
    "merge": ("rotation.cli.embed:merge", "Join the latents of several shards."),
    "embeddings": ("rotation.cli.embed:embeddings", "Compare the encoders."),
    "samples": ("rotation.cli.train:samples_command", "Render a sheet of samples of a model."),
    "directions": (
        "rotation.cli.directions:directions",
        "Measure how reliable a direction is: halves, bootstrap, an angle left out.",
    ),
    "benchmark": (
        "rotation.cli.benchmark:benchmark",
        "Compare variants of the method with true renders.",
    ),
    "turn": ("rotation.cli.turn:turn", "Turn the head in one photograph by geometry."),
    "synthesize": ("rotation.cli.synthesize:synthesize", "Render a data set of synthetic heads."),
}

COMMANDS: dict[str, Any] = {
    # name: (module:attribute, help line), or (a dictionary of the same form, help line)
    "init": ("labeler.cli.site:init", "Create or upgrade the database."),
    "serve": ("labeler.cli.site:serve", "Run the labelling site."),
    "backup": ("labeler.cli.backup:backup", "Back up the database and the home folder."),
    "restore": ("labeler.cli.backup:restore", "Restore a backup into an empty home."),
    "doctor": ("labeler.cli.doctor:doctor", "Check the site and say what to do."),
    "worker": ("labeler.cli.site:worker", "Run background jobs."),
    "jobs": ("labeler.cli.jobs:jobs", "List, cancel and retry background jobs."),
    "demo": ("labeler.cli.demo:demo", "Create and register the demo data set."),
    "images": ("labeler.cli.images:images", "Register, check and list data sets."),
    "users": ("labeler.cli.accounts:users", "Invite people, list and change accounts."),
    "audit": ("labeler.cli.audit:audit", "Show the audit log."),
    "campaigns": ("labeler.cli.campaigns:campaigns", "Create, list and change campaigns."),
    "subsets": ("labeler.cli.subsets:subsets", "Keep filters and lists of images."),
    "studio": ("labeler.cli.studio:studio", "List, export and delete turned heads."),
    "gold": ("labeler.cli.gold:gold", "Manage gold questions."),
    "consensus": ("labeler.cli.consensus:consensus", "Combine the votes into labels again."),
    "propose": ("labeler.cli.proposals:propose", "Train a model on the votes and propose labels."),
    "proposals": ("labeler.cli.proposals:proposals", "List model runs; go back to an older run."),
    "export": ("labeler.cli.exports:export", "Export labels or votes as CSV."),
    "report": ("labeler.cli.mean_faces:report", "Draw figures from the labels."),
    "classifier": (
        "labeler.cli.light_classifier:classifier",
        "Train and use the classifier on files.",
    ),
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


# Installed only by the extra `rotation`, which a machine that runs only the site does not need.
ENGINE_LIBRARIES = {
    "diffusers",
    "facenet_pytorch",
    "huggingface_hub",
    "matplotlib",
    "torch",
    "torchvision",
}


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


cli = click.version_option(__version__, prog_name="sidelight")(
    LazyGroup("sidelight", COMMANDS, EXAMPLES)
)


def main() -> None:
    """Run the command line. An expected error becomes a message and exit code 1.

    So does a failure of the disk or of the database: a traceback would not help anybody.
    """
    try:
        cli(prog_name=_program())
    except (SidelightError, RotationError) as error:
        raise SystemExit(f"Error: {error}") from None
    except OSError as error:
        from labeler.database.failures import disk_message  # late, as every command

        raise SystemExit(f"Error: {disk_message(error)}") from None
    except ModuleNotFoundError as error:
        if error.name not in ENGINE_LIBRARIES:
            raise
        raise SystemExit(
            f"Error: This command needs {error.name}, which is not installed. "
            "Install the rotation engine's libraries: pip install 'sidelight[rotation]', "
            "or in a checkout: make run"
        ) from None
    except Exception as error:
        # These libraries are loaded already if the error is one of theirs.
        from labeler.database.failures import failure_message, failure_of

        if failure_of(error) is None:
            raise
        raise SystemExit(f"Error: {failure_message(error)}") from None


def _program() -> str:
    """Return the name of the program for usage lines."""
    name = Path(sys.argv[0]).name
    return name if name == "manage.py" else "sidelight"
