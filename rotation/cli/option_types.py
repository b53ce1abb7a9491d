"""Types of options: yaws, lists of names, gain, outputs. This module imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rotation.errors import DatasetError
from rotation.options import AUTO
from rotation.output_paths import ADVICE, check_file, check_folder
from rotation.reading import user_path
from rotation.remote_paths import ImagePlace, RemotePath, is_url, redact


def _find(value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
    if is_url(value) and not Path(value).exists():
        raise click.BadParameter(
            f"{redact(value)} is a URL. A file or folder of this machine is needed here; the site "
            "reads local folders and zips only.",
            ctx,
            param,
        )
    try:
        return user_path(value)
    except DatasetError as error:
        raise click.BadParameter(str(error), ctx, param) from None


class InputPath(click.Path):
    """A file or folder to read. `~` at its start is the home folder, in every option."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; whether it exists is found out by what reads it."""
        return _find(value, param, ctx)


class ImagesPath(click.ParamType[ImagePlace]):
    """A folder or zip of images: a path as of `InputPath`, or the URL of one in a store."""

    name = "path|url"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> ImagePlace:
        """The place; what reads it finds out whether it exists."""
        if isinstance(value, RemotePath):
            return value
        return RemotePath(value) if is_url(value) else _find(value, param, ctx)


class InputFile(click.File):
    """A file that is opened to be read; `-` is standard input."""

    def __init__(self) -> None:
        super().__init__("rb")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The open file."""
        return super().convert(value if value == "-" else _find(value, param, ctx), param, ctx)


class WordOrPath(click.ParamType[str]):
    """One of some words, or else a path.

    Parameters:
        words: they are no paths.
    """

    name = "path"

    def __init__(self, *words: str) -> None:
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word, or the path."""
        return value if value in self._words else str(_find(value, param, ctx))


class _Output(click.Path):
    def __init__(self, check: Callable[[Path, str], None], allow_dash: bool = False) -> None:
        super().__init__(path_type=Path, allow_dash=allow_dash)
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path, after a trial to write there."""
        if self.allow_dash and str(value) == "-":
            return Path(value)
        path = _find(value, param, ctx)
        option = param.opts[0] if isinstance(param, click.Option) else ""
        try:
            self._check(path, f"{ADVICE} with {option}" if option else ADVICE)
        except DatasetError as error:
            raise click.ClickException(str(error)) from None
        except ValueError as error:  # a name with a zero byte
            self.fail(str(error), param, ctx)
        return path


class OutputFolder(_Output):
    """A folder to write into. A command that could not write there ends before its work."""

    def __init__(self) -> None:
        super().__init__(check_folder)


class OutputFile(_Output):
    """A file to write. A command that could not write it ends before its work.

    Parameters:
        allow_dash: `-` is standard output.
    """

    def __init__(self, allow_dash: bool = False) -> None:
        super().__init__(check_file, allow_dash)


class Yaws(click.ParamType[tuple[float, ...]]):
    """`-30:30:10` (first:last:step) or `-20,0,15`, in degrees."""

    name = "YAWS"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """The angles in degrees and in the order given."""
        if isinstance(value, tuple):
            return value
        try:
            yaws = _parse_yaws(str(value))
        except ValueError:
            self.fail(
                f"{value!r}: give first:last:step (0.1 at least) or a,b,c, degrees in -60..60",
                param,
                ctx,
            )
        if len(yaws) > 200 or not all(abs(yaw) <= 60 for yaw in yaws):
            self.fail(f"{value!r}: at most 200 angles within -60..60 are allowed", param, ctx)
        if len({round(yaw, 1) for yaw in yaws}) < len(yaws):
            self.fail(f"{value!r}: angles must differ by 0.1 degrees at least", param, ctx)
        return yaws


def _parse_yaws(text: str) -> tuple[float, ...]:
    if ":" not in text:
        return tuple(float(part) + 0.0 for part in text.split(","))
    first, last, step = (float(part) for part in text.split(":"))
    if not step >= 0.1 or not -60 <= first <= last <= 60:
        raise ValueError
    count = int((last - first) / step + 1e-9) + 1
    return tuple(round(first + k * step, 6) + 0.0 for k in range(count))  # + 0.0: no minus zero


class Names(click.ParamType[tuple[str, ...]]):
    """Names parted by commas: `a,b,c`."""

    name = "a,b,c"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names in the order given, without repetitions."""
        if isinstance(value, tuple):
            return value
        parts = (part.strip() for part in str(value).split(","))
        return tuple(dict.fromkeys(part for part in parts if part))


class Gain(click.ParamType[float | str]):
    """A positive number, or `auto`."""

    name = "auto|NUMBER"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        """The factor, or `auto`."""
        if value == AUTO:
            return AUTO
        try:
            gain = float(value)
        except ValueError:
            gain = 0.0
        if not 0 < gain <= 10:
            self.fail(f"{value!r}: auto, or a number above 0 and up to 10, is allowed", param, ctx)
        return gain


class RayAddress(click.ParamType[str]):
    """The address of a Ray cluster's head, HOST:PORT, or the word `local`."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The address as it was given."""
        host, _, port = str(value).rpartition(":")
        if value != "local" and (not host or "/" in host or not port.isdecimal()):
            self.fail(f"{value!r}: give HOST:PORT of the cluster's head, or local", param, ctx)
        return str(value)
