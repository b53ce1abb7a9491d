"""Pin the dependencies of pyproject.toml in the requirements files, or check that they agree.

    .venv/bin/python .ci/pin_requirements.py            # write: `make requirements`
    .venv/bin/python .ci/pin_requirements.py --check    # part of `make lint`; needs no network

A file holds what its extras ask for and all that this needs in turn, at the versions that are
installed here. To move a library: change its range in pyproject.toml if need be, install the new
version into .venv, run the tests, then run this.
"""

from __future__ import annotations

import argparse
import difflib
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
# Other interpreters and systems must find the same files right.
PLATFORM = {
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}
PINNED_BY_TORCH = ("nvidia-", "cuda-", "triton")
COMES_WITH_PYTHON = {"pip"}
Pins = dict[str, str]
Installed = Callable[[str], metadata.Distribution | None]


@dataclass(frozen=True)
class File:
    """A requirements file: the extras that it pins ("": the project itself), after others."""

    path: str
    extras: tuple[str, ...]
    purpose: str
    after: tuple[str, ...] = ()


FILES = (
    File("requirements.txt", ("", "rotation"), "What Sidelight runs on: the site and the engine."),
    File(
        "requirements/pictures.txt",
        ("pictures",),
        "For `rotation run --mp4` and `--super-resolution`.",
        ("requirements.txt",),
    ),
    File(
        "requirements/crowdkit.txt",
        ("crowdkit",),
        "For `consensus refresh --method dawid-skene|one-coin`.",
        ("requirements.txt",),
    ),
    File(
        "requirements/distributed.txt",
        ("distributed",),
        "For `--ray`: long passes on the machines of a cluster.",
        ("requirements.txt",),
    ),
    File(
        "requirements/remote.txt",
        ("remote",),
        "For `--images s3://bucket/faces`: image sets in object stores.",
        ("requirements.txt",),
    ),
    File(
        "requirements/dev.txt",
        ("dev", "docs"),
        "For the tests, the checks and the documentation.",
        (
            "requirements/crowdkit.txt",
            "requirements/distributed.txt",
            "requirements/pictures.txt",
            "requirements/remote.txt",
        ),
    ),
    File(
        "requirements/judge.txt",
        ("judge",),
        "For `benchmarks/real_faces.py` and `real_pairs.py`; `make judge` installs one more.",
        ("requirements/pictures.txt",),
    ),
)


class PinError(Exception):
    """The requirements files and pyproject.toml cannot be made to agree."""


def render_all(root: Path, installed: Installed) -> dict[Path, str]:
    """What each requirements file is to hold."""
    with (root / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    texts, pins = {}, dict[str, Pins]()
    for file in FILES:
        path = root / file.path
        known = read_pins(path)
        asked = [one for extra in file.extras for one in _asked(project, extra)]
        before = {name: pin for each in file.after for name, pin in pins[each].items()}
        direct, needed = _pin(asked, before, known, installed)
        pins[file.path] = before | direct | needed
        texts[path] = _render(file, asked, direct, needed)
    return texts


def read_pins(path: Path) -> Pins:
    """The versions that a requirements file pins, by canonical name."""
    lines = path.read_text().splitlines() if path.exists() else []
    wanted = [Requirement(line) for line in lines if "==" in line and not line.startswith("#")]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in wanted}


def find_installed(name: str) -> metadata.Distribution | None:
    """The installed package of that name; None where there is none."""
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _asked(project: dict[str, dict[str, list[str]] | list[str]], extra: str) -> list[Requirement]:
    """What an extra asks for by itself; other extras that it names are pinned by other files."""
    extras = project["optional-dependencies"]
    assert isinstance(extras, dict)
    lines = extras[extra] if extra else project["dependencies"]
    wanted = [Requirement(line) for line in lines]
    return [one for one in wanted if one.name != project["name"]]


def _pin(
    asked: list[Requirement], before: Pins, known: Pins, installed: Installed
) -> tuple[Pins, Pins]:
    """What the requirements are pinned to, and what else they need; nothing of `before`."""
    direct: Pins = {}
    needed: Pins = {}
    incomplete = False
    waiting = [(one, True) for one in asked]
    while waiting:
        one, is_direct = waiting.pop(0)
        name = canonicalize_name(one.name)
        if name.startswith(PINNED_BY_TORCH) or name in COMES_WITH_PYTHON:
            continue
        found = installed(name)
        version = found.version if found else (before | known).get(name)
        if version is None:
            raise PinError(f"{one.name} is not installed, and no file pins it. Install it first.")
        if not one.specifier.contains(version, prereleases=True):
            raise PinError(f"{one.name} {version} is here, but {one} is asked for.")
        incomplete = incomplete or found is None
        if name not in before | direct | needed:
            (direct if is_direct else needed)[name] = version
            waiting += [(each, False) for each in _needs(found, one.extras)]
        elif one.extras:
            waiting += [(each, False) for each in _extra_needs(found, one.extras)]
    if incomplete:  # what a missing package needs is not known here: the file knows it better
        pinned = before | direct | needed
        needed |= {name: version for name, version in known.items() if name not in pinned}
    return direct, needed


def _needs(found: metadata.Distribution | None, extras: set[str]) -> Iterator[Requirement]:
    for line in (found.requires if found else None) or ():
        one = Requirement(line)
        wanted = [{**PLATFORM, "extra": extra} for extra in ("", *extras)]
        if one.marker is None or any(one.marker.evaluate(each) for each in wanted):
            yield one


def _extra_needs(found: metadata.Distribution | None, extras: set[str]) -> list[Requirement]:
    """What the extras of a package add to its own needs."""
    plain = {str(one) for one in _needs(found, set())}
    return [one for one in _needs(found, extras) if str(one) not in plain]


def _render(file: File, asked: list[Requirement], direct: Pins, needed: Pins) -> str:
    extras = {canonicalize_name(one.name): ",".join(sorted(one.extras)) for one in asked}
    lines = [
        f"# {file.purpose}",
        "# Written by `make requirements` from pyproject.toml and what is installed.",
    ]
    folder = Path(file.path).parent
    for other in file.after:
        up = "../" if folder != Path(other).parent else ""
        lines.append(f"-r {up}{other if up else Path(other).name}")
    for heading, pins in ((None, direct), ("# what those need", needed)):
        if not pins:
            continue
        lines += ["", heading] if heading else [""]
        for name, version in sorted(pins.items()):
            extra = f"[{extras[name]}]" if extras.get(name) else ""
            lines.append(f"{name}{extra}=={version}")
    return "\n".join(lines) + "\n"


def check(texts: dict[Path, str]) -> None:
    """Raise `PinError` with the difference if a file is not as it is to be."""
    differences = []
    for path, text in texts.items():
        present = path.read_text() if path.exists() else ""
        lines = present.splitlines(), text.splitlines()
        differences += difflib.unified_diff(
            *lines, f"{path.name}, as it is", f"{path.name}, as installed", lineterm="", n=0
        )
    if differences:
        raise PinError(
            "\n".join(differences) + "\nThe requirements files do not agree with pyproject.toml "
            "and what is installed. Install what they pin, or run `make requirements`."
        )


def main() -> None:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    parser.add_argument("--root", type=Path, default=ROOT, help="where pyproject.toml lies")
    given = parser.parse_args()
    try:
        texts = render_all(given.root, find_installed)
        if given.check:
            check(texts)
            return
    except PinError as error:
        raise SystemExit(f"Error: {error}") from None
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
