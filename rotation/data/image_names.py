"""Match the filenames of a file with those of an image set.

A name stays as it stands if an image has it. Otherwise it means the one image that `spellings`
names, such as the one without blanks around it. Names of CelebA's tables (`match_table_names`) may
also differ in

1. the suffix: the tables name `000001.jpg`, and `img_align_celeba_png` holds `000001.png`,
2. folders before the name: `000001.jpg` in a table, `faces/000001.png` in the image set.

Labels, poses and lists must have the suffix and the folders right: two image sets often number
their images alike, and a label must not go to another person's face.

Where two images or two rows come into question, nothing is matched, so that no image gets the row
of another one. A name that fits in no way stays, so that it is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from rotation.data.file_names import IMAGE_SUFFIXES
from rotation.data.formulas import guard_formula, unguard_formula

T = TypeVar("T")


def match_names(names: Sequence[str], known: Collection[str], doubles: bool = False) -> list[str]:
    """Filenames of labels, poses or lists as the image set has them, in their order.

    Parameters:
        known: the names of the images; a set, because each name is looked up.
        doubles: several rows may name one image, as in a list.
    """
    present = set() if doubles else set(names)

    def spelled(name: str) -> str | None:
        return next((one for one in spellings(name) if one in known and one not in present), None)

    return _settle(names, known, doubles, spelled)


def match_table_names(names: Sequence[str], known: Collection[str]) -> list[str]:
    """Filenames of a table of CelebA as the image set has them; `known` as for `match_names`."""
    matched = match_names(names, known)
    if all(name in known for name in matched):
        return matched
    return _settle(matched, known, False, _Stems(known).find)


def match_keys(rows: Mapping[str, T], known: Collection[str]) -> dict[str, T]:
    """Rows by filename with the filenames of the image set (`match_names`)."""
    return dict(zip(match_names(list(rows), known), rows.values(), strict=True))


def spellings(name: str) -> tuple[str, ...]:
    """What a filename of a table may stand for: the most likely first.

    This is the name as it stands, without blanks around it, without the apostrophe of
    `guard_formula`, without the quotes of a cell in a list that is no table, and with the
    apostrophe, where a hand-made table has a name that only looks guarded.
    """
    trimmed = name.strip()
    is_quoted = len(trimmed) > 1 and trimmed[0] == trimmed[-1] == '"'
    cell = trimmed[1:-1].replace('""', '"') if is_quoted else trimmed
    return (name, trimmed, unguard_formula(trimmed), unguard_formula(cell), guard_formula(name))


def _settle(
    names: Sequence[str],
    known: Collection[str],
    doubles: bool,
    find: Callable[[str], str | None],
) -> list[str]:
    """Names with what `find` takes them for, unless several rows would then name one image."""
    targets = [name if name in known else find(name) for name in names]
    rows = Counter(targets)
    return [
        target if target is not None and (doubles or rows[target] == 1 or name == target) else name
        for name, target in zip(names, targets, strict=True)
    ]


class _Stems:
    """The images of a set by their names without suffix, and without the folders before them."""

    def __init__(self, known: Iterable[str]) -> None:
        self._whole: dict[str, str | None] = {}
        self._tails: dict[str, str | None] = {}
        for name in known:
            stem = _stem(name)
            _add(self._whole, stem, name)
            while "/" in stem:
                stem = stem.partition("/")[2]
                _add(self._tails, stem, name)

    def find(self, name: str) -> str | None:
        """The one image that a name means; None if there is none, or more than one."""
        stem = _stem(name.strip())
        return self._whole[stem] if stem in self._whole else self._tails.get(stem)


def _add(names: dict[str, str | None], stem: str, name: str) -> None:
    names[stem] = None if stem in names else name


def _stem(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name
