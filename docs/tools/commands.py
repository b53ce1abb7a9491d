"""The page of commands, from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from docs.tools import sources
from docs.tools.tables import cell, table

PROGRAM = "python manage.py"
# A default that the help text names itself is not to be told twice.
TOLD_TWICE = re.compile(r"\[default: [^\]]*\]\s*(?=\[default: )")
NO_DEFAULT = re.compile(r'\s*\[default: ""\]|default: ""; ')


def commands_page() -> str:
    """Every command with its usage, arguments, options, defaults and examples."""
    parts = [
        "# Commands",
        f"Every command is called as `{PROGRAM} COMMAND` in a checkout, and as `sidelight COMMAND` "
        "where Sidelight is installed. `--help` shows the same text.",
    ]
    context = click.Context(sources.cli, info_name=PROGRAM, show_default=True)
    parts += _members(sources.cli, context, level=2)
    return "\n\n".join(parts) + "\n"


def _members(group: click.Group, context: click.Context, level: int) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        here = click.Context(command, parent=context, info_name=name)
        yield from _section(command, here, level)


def _section(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    words = context.command_path.removeprefix(f"{PROGRAM} ")
    yield f"{'#' * level} `{words}`"
    if isinstance(command, click.Group):
        yield from _help(command)
        yield from _members(command, context, level + 1)
        return
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{PROGRAM} {words} {usage}".rstrip() + "\n```"
    yield from _help(command)
    rows = [_row(each, context) for each in command.get_params(context)]
    yield from table(("option", "meaning"), [row for row in rows if row])


def _row(parameter: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    """None for what is hidden, or the same everywhere."""
    record = parameter.get_help_record(context)
    if record is None or "--help" in parameter.opts or not record[1].strip():
        return None
    told = NO_DEFAULT.sub("", TOLD_TWICE.sub("", record[1]))
    return f"`{cell(record[0])}`", cell(_escape(told))


def _help(command: click.Command) -> Iterator[str]:
    """The help text: running text, and examples as code."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if not paragraph.startswith("\b"):
            yield _escape(" ".join(paragraph.split()))
            continue
        heading, _, code = paragraph.removeprefix("\b").strip("\n").partition("\n")
        if heading.endswith(":"):
            yield heading
        else:
            code = f"{heading}\n{code}"
        yield f"```text\n{inspect.cleandoc(code)}\n```"


def _escape(text: str) -> str:
    """What Markdown would take for markup, outside of code."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([*<])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)
