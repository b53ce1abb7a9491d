"""What a process needs to take part in a pass, and whether it is there.

A cluster's machines must have the images and models at the same paths, and the same versions. This
module is imported there, so it imports neither torch nor Ray.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from rotation.data.image_source import ImageSource
from rotation.errors import RotationError
from rotation.reading import read_bytes, read_text, real_path

LIBRARIES = ("torch", "torchvision", "facenet-pytorch", "numpy", "pillow")
"""Libraries whose version changes the last bits of results."""
_VECTOR_UNITS = ("avx2", "avx512f", "avx512_bf16", "amx_tile")


@dataclass(frozen=True)
class Needs:
    """What a pass needs on each machine.

    Attributes:
        open_images: opens the images.
        names: a hash of the names of its images.
        models: folders with the hash of their files.
        packages: packages whose code the worker runs.
        device: `cpu` or `cuda`, on which the worker computes.
    """

    open_images: Callable[[], ImageSource]
    names: str
    models: tuple[tuple[Path, str], ...] = ()
    packages: tuple[str, ...] = ("rotation",)
    device: str = "cpu"

    @classmethod
    def of(
        cls,
        source: ImageSource,
        models: Sequence[Path] = (),
        packages: Sequence[str] = ("rotation",),
        device: str = "cpu",
    ) -> Needs:
        """What a pass over these images with these model folders needs."""
        folders = tuple((real_path(each), hash_folder(real_path(each))) for each in models)
        names = hash_names(source.names())
        return cls(source.opening(), names, folders, tuple(packages), device)


@dataclass(frozen=True)
class Machine:
    """What a machine has: faults in words, its versions by name, and its vector units."""

    faults: tuple[str, ...]
    versions: dict[str, str]
    processor: str


def look_here(needs: Needs) -> Machine:
    """What this machine has of what a pass needs."""
    faults = [*_image_faults(needs), *_model_faults(needs)]
    return Machine(tuple(faults), find_versions(needs.packages), find_processor())


def find_versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of Python, the libraries, and short hashes of code and bundled networks."""
    found = {"Python": platform.python_version()}
    found |= {name: _library_version(name) for name in LIBRARIES}
    found |= {f"the code of {name}": _hash_files(name, "*.py") for name in packages}
    return found | {"the networks for faces": _hash_files("rotation", "faces/networks/**/*.*")}


def other_versions(there: dict[str, str], here: dict[str, str]) -> list[str]:
    """What is another version there than here, in words."""
    return [
        f"{name} is {there.get(name, 'none')}, here it is {version}"
        for name, version in here.items()
        if there.get(name) != version
    ]


def find_processor() -> str:
    """The vector units of the processor that networks use; '' where Linux does not tell."""
    try:
        words = set(read_text("/proc/cpuinfo").split())
    except (OSError, UnicodeDecodeError):
        return ""
    return " ".join(unit for unit in _VECTOR_UNITS if unit in words)


def hash_names(names: Iterable[str]) -> str:
    """A hash of names in their order."""
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def hash_folder(folder: Path) -> str:
    """A hash of the files of a folder and their names; a single file counts as well."""
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.relative_to(folder)}\0".encode())
        found.update(hashlib.sha256(read_bytes(file)).digest())
    return found.hexdigest()


def _image_faults(needs: Needs) -> list[str]:
    try:
        with needs.open_images() as source:
            names, path = source.names(), source.path
    except (RotationError, OSError) as error:
        return [f"the images are not there ({error})"]
    if hash_names(names) != needs.names:
        return [f"{path} has other images ({len(names):,})"]
    return []


def _model_faults(needs: Needs) -> list[str]:
    faults = []
    for folder, wanted in needs.models:
        if not folder.exists():
            faults.append(f"the model {folder} is not there")
        elif hash_folder(folder) != wanted:
            faults.append(f"the model {folder} has other files")
    return faults


def _library_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _hash_files(package: str, pattern: str) -> str:
    """A short hash of files of an installed package."""
    spec = util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    found = hashlib.sha256()
    for place in places or ():
        for file in sorted(Path(place).rglob(pattern)):
            found.update(str(file.relative_to(place)).encode() + b"\0" + file.read_bytes())
    return found.hexdigest()[:12]
