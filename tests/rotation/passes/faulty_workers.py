"""Workers of passes that go wrong, for actors of Ray to import."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rotation.data.sources import open_source
from rotation.errors import ImageError
from rotation.passes.needs import Needs
from rotation.passes.on_ray import RayCluster

NAMES = ("a.jpg", "b.jpg", "deadly.jpg", "d.jpg", "e.jpg", "f.jpg")
BATCHES = [NAMES[start : start + 2] for start in range(0, len(NAMES), 2)]


def count_threads(_names: Sequence[str]) -> int:
    """How many threads torch computes with."""
    import torch

    return torch.get_num_threads()


def fail(names: Sequence[str]) -> int:
    """Fail with an expected error, for the second batch."""
    if names == BATCHES[1]:
        raise ImageError(f"{names[0]} cannot be used.")
    return len(names)


def die(names: Sequence[str]) -> int:
    """End the process, as a fault in a library's machine code does."""
    if "deadly.jpg" in names:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(names)


def report(address: str, images: str) -> None:
    """Run the passes on a cluster, and tell how each ends."""
    told = []
    with open_source(Path(images)) as source, RayCluster(address) as runner:
        for worker, device in ((count_threads, "cpu"), (fail, "cpu"), (fail, "cuda"), (die, "cpu")):
            needs = Needs.of(source, device=device)
            found = []
            try:
                found += runner(worker, BATCHES, lambda needs=needs: needs)
            except Exception as error:  # noqa: BLE001 - its kind is told
                found += [f"{type(error).__name__}: {error}"]
            told.append(f"{worker.__name__} {device} {found}\n")
    sys.stdout.writelines(told)
