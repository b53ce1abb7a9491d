"""Workers of passes that go wrong, for actors of Ray to import."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from rotation.data.sources import open_source
from rotation.errors import ImageError
from rotation.passes.needs import Needs
from rotation.passes.on_ray import RayCluster

NAMES = ("a.jpg", "b.jpg", "deadly.jpg", "d.jpg", "e.jpg", "f.jpg")
BATCHES = [NAMES[start : start + 2] for start in range(0, len(NAMES), 2)]


def fail(names: Sequence[str]) -> int:
    """How many threads torch computes with, or for the second batch an expected error."""
    if names == BATCHES[1]:
        raise ImageError(f"{names[0]} cannot be used.")
    return torch.get_num_threads()


def die(names: Sequence[str]) -> int:
    """End the process, as a fault in a library's machine code does."""
    if "deadly.jpg" in names:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(names)


def double(number: int) -> int:
    """A task that is done at once."""
    return 2 * number


def hurry(address: str, images: str, begun: str) -> None:
    """Run a pass of many quick tasks, write a file when it has begun, and tell how it ends."""
    tasks = range(4000)
    with open_source(Path(images)) as source, RayCluster(address) as runner:
        needs = Needs.of(source)
        found = []
        for result in runner(double, tasks, lambda: needs):
            found.append(result)
            if len(found) == 200:
                Path(begun).touch()
    assert found == [2 * number for number in tasks]
    sys.stdout.write(f"{len(found)} results in order\n")


def report(address: str, images: str) -> None:
    """Run the passes on a cluster, and tell how each ends."""
    told = []
    with open_source(Path(images)) as source, RayCluster(address) as runner:
        for worker, device in ((fail, "cpu"), (fail, "cuda"), (die, "cpu")):
            needs = Needs.of(source, device=device)
            found = []
            try:
                found += runner(worker, BATCHES, lambda needs=needs: needs)
            except Exception as error:  # noqa: BLE001 - its kind is told
                found += [f"{type(error).__name__}: {error}"]
            told.append(f"{worker.__name__} {device} {found}\n")
    sys.stdout.writelines(told)
