"""Measure how many synthetic heads are rendered per second.

It reports images per second of wall time with one process and with several, and processor
milliseconds per image, which other programs on the machine affect less.

Example:
    python benchmarks/synthetic_speed.py --images 800 --workers 2
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import _project  # noqa: F401

# One thread a process, before numpy is loaded: the workers must not fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from rotation.synthetic_heads.parameters import Head
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import sample_heads

CHUNK = 20


def render_chunk(heads: Sequence[Head]) -> tuple[int, float]:
    """Render; return how many and the processor time used."""
    start = time.process_time()
    return len(render(heads)), time.process_time() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    for workers in dict.fromkeys((1, asked.workers)):
        report(asked.images, workers)


def report(images: int, workers: int) -> None:
    """Measure with that many processes; the pool is warm before the clock starts."""
    heads = sample_heads(images, seed=0)
    chunks = [heads[k : k + CHUNK] for k in range(0, images, CHUNK)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        list(pool.map(render_chunk, chunks[: 2 * workers]))
        start = time.perf_counter()
        results = list(pool.map(render_chunk, chunks))
        wall = time.perf_counter() - start
    used = [seconds / count for count, seconds in results]
    print(
        f"{workers} process(es): {images / wall:.0f} images/s, processor time per image "
        f"median {1e3 * sorted(used)[len(used) // 2]:.1f} ms, best {1e3 * min(used):.1f} ms"
    )


if __name__ == "__main__":
    main()
