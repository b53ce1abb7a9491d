"""CelebA's text files: attributes, identities, partitions and landmarks.

The files as distributed have a line with the number of rows, a line with the column names and rows
such as `000001.jpg -1 1 …`. The CSV files of a well-known mirror start with
`image_id,5_o_Clock_Shadow,…`. `integer_table` reads these and what other programs make of them.
Each file becomes a `Table` of integers.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from rotation.data.csv_text import MAX_BYTES, CsvError, decode
from rotation.data.image_names import match_table_names
from rotation.data.integer_table import read_integers
from rotation.data.sources import image_places
from rotation.data.zip_files import ZipError, entry_name, open_zip, read_place
from rotation.errors import DatasetError
from rotation.remote_paths import ImagePlace, RemotePath, existing_files

LANDMARKS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
LANDMARK_COLUMNS = tuple(f"{landmark}_{axis}" for landmark in LANDMARKS for axis in "xy")
FILE_STEMS = {
    "attributes": "list_attr_celeba",
    "identities": "identity_CelebA",
    "partitions": "list_eval_partition",
    "landmarks": "list_landmarks_align_celeba",
}
_SUFFIXES = (".txt", ".csv")
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Table:
    """A table of integers: `values[i, j]` is column `columns[j]` of image `filenames[i]`."""

    path: ImagePlace
    filenames: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.int64]

    @cached_property
    def index(self) -> dict[str, int]:
        """Row number by filename."""
        return {name: row for row, name in enumerate(self.filenames)}

    def __len__(self) -> int:
        return len(self.filenames)

    def match_names(self, known: Collection[str]) -> Table:
        """The table with the filenames of the image set (`image_names.match_table_names`)."""
        return replace(self, filenames=tuple(match_table_names(self.filenames, known)))

    def only(self, names: Iterable[str]) -> Table:
        """The rows of these images, in their order, without images that it does not have."""
        rows = [self.index[name] for name in names if name in self.index]
        filenames = tuple(self.filenames[row] for row in rows)
        return Table(self.path, filenames, self.columns, self.values[rows])


@dataclass(frozen=True)
class TableFiles:
    """Paths of the text files; None for a file that does not exist.

    The path of a file within a zip is that of the zip and its name there (`zip_files.read_place`).
    """

    attributes: ImagePlace | None = None
    identities: ImagePlace | None = None
    partitions: ImagePlace | None = None
    landmarks: ImagePlace | None = None


@dataclass(frozen=True)
class Tables:
    """The tables of a data set; None for a file that does not exist."""

    attributes: Table | None = None
    identities: Table | None = None
    partitions: Table | None = None
    landmarks: Table | None = None

    @property
    def found(self) -> tuple[Table, ...]:
        """The tables that there are."""
        return tuple(table for kind in FILE_STEMS if (table := getattr(self, kind)) is not None)

    def match_names(self, known: Collection[str]) -> Tables:
        """The tables with the filenames of the image set (`image_names.match_table_names`)."""
        tables = ((kind, getattr(self, kind)) for kind in FILE_STEMS)
        return Tables(**{kind: table and table.match_names(known) for kind, table in tables})

    def only(self, names: Collection[str]) -> Tables:
        """The tables with the rows of these images alone."""
        tables = ((kind, getattr(self, kind)) for kind in FILE_STEMS)
        return Tables(**{kind: table and table.only(names) for kind, table in tables})


def find_tables(path: str | os.PathLike[str] | RemotePath) -> TableFiles:
    """Find the text files in the data set's folder, beside its image folder or zip, or in the zip.

    CelebA's download has them in `Anno/` and `Eval/`, which are searched as well. Files beside a
    zip go before those within it: somebody has put them there.

    Raises:
        StoreError: they may be in a store, which cannot be asked.
    """
    root = path if isinstance(path, RemotePath) else Path(path)
    places = image_places(root)
    folders = [place for place in (root, *places) if place.is_dir()]
    near = [*folders, *(place.parent for place in places)]
    far = [place.parent.parent for place in places]
    there = existing_files(
        [each for stem in FILE_STEMS.values() for each in _candidates(stem, [*near, *far])]
    )
    packed = [file for place in places if _is_zip(place) for file in _tables_within(place)]
    return TableFiles(
        **{
            kind: next((each for each in _candidates(stem, near) if each in there), None)
            or next((file for file in packed if file.stem == stem), None)
            or next((each for each in _candidates(stem, far) if each in there), None)
            for kind, stem in FILE_STEMS.items()
        }
    )


def _is_zip(place: ImagePlace) -> bool:
    return place.is_zip() if isinstance(place, RemotePath) else place.is_file()


def _tables_within(path: ImagePlace) -> list[ImagePlace]:
    """The paths of the text files within a zip, those nearest to its top first."""
    names = {f"{stem}{suffix}" for stem in FILE_STEMS.values() for suffix in _SUFFIXES}
    try:
        with open_zip(path) as archive:
            found = [PurePosixPath(entry_name(entry)) for entry in archive.infolist()]
    except ZipError:
        return []  # whoever opens the images says so
    tables = [file for file in found if file.name in names and "__MACOSX" not in file.parts]
    tables.sort(key=lambda file: (len(file.parts), _SUFFIXES.index(file.suffix), str(file)))
    return [path / file for file in tables if ".." not in file.parts and not file.is_absolute()]


def read_tables(path: str | os.PathLike[str] | RemotePath) -> Tables:
    """Find and parse all text files of a data set.

    Raises:
        DatasetError: a file is malformed; the message names file and line.
        StoreError: they may be in a store, which cannot be asked.
    """
    files = find_tables(path)
    return Tables(
        attributes=parse_attributes(files.attributes) if files.attributes else None,
        identities=parse_identities(files.identities) if files.identities else None,
        partitions=parse_partitions(files.partitions) if files.partitions else None,
        landmarks=parse_landmarks(files.landmarks) if files.landmarks else None,
    )


def parse_attributes(path: ImagePlace) -> Table:
    """`list_attr_celeba`: a column for each attribute, 1 = present, 0 = absent (-1 in the file).

    Raises:
        DatasetError: the names of the attributes are missing, two have one name, a row has a wrong
            number of values, a value is not -1, 0 or 1, or rows about an image differ. The message
            names file and lines.
    """
    table = _parse(path, None, (-1, 1))
    return replace(table, values=(table.values > 0).astype(np.int64))


def parse_identities(path: ImagePlace) -> Table:
    """`identity_CelebA`: one column, the number of the person (>= 0)."""
    return _parse(path, ("identity",), (0, _LARGEST))


def parse_partitions(path: ImagePlace) -> Table:
    """`list_eval_partition`: one column, 0 = train, 1 = validation, 2 = test."""
    return _parse(path, ("partition",), (0, 2))


def parse_landmarks(path: ImagePlace) -> Table:
    """`list_landmarks_align_celeba`: ten columns, x and y of eyes, nose and mouth in pixels.

    `lefteye` is the eye at the left of the image.
    """
    return _parse(path, LANDMARK_COLUMNS, (-_LARGEST, _LARGEST))


def _candidates(stem: str, bases: Iterable[ImagePlace]) -> list[ImagePlace]:
    """Where a text file may be, the most likely place first."""
    folders = [place for base in bases for place in (base, base / "Anno", base / "Eval")]
    return [folder / f"{stem}{suffix}" for folder in folders for suffix in _SUFFIXES]


def _parse(path: ImagePlace, columns: tuple[str, ...] | None, allowed: tuple[int, int]) -> Table:
    """Read a table of integers within `allowed`; `columns` None takes the names in the header."""
    try:
        text = decode(read_place(path, MAX_BYTES))
        return Table(path, *read_integers(text, columns, allowed))
    except CsvError as error:
        raise error.about(path) from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from None
