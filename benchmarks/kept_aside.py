"""Print the names of the photographs whose people are judged, so that no training uses them.

Give the list to `rotation train-refiner --left-out`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _project  # noqa: F401
from _photographs import celeba, lfw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("celeba", type=Path, help="folder of the first 10,000 images")
    parser.add_argument("lfw", type=Path, nargs="?", help="zip of deep-funneled pictures")
    given = parser.parse_args()
    sets = [celeba(given.celeba)]
    if given.lfw:
        sets.append(lfw(given.lfw))
    for photographs in sets:
        judged = {photographs.people[name] for name in photographs.candidates}
        for name, person in photographs.people.items():
            if person in judged:
                print(name)


if __name__ == "__main__":
    main()
