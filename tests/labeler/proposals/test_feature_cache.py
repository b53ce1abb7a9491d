"""Features are measured once for each content and version, whatever the files are called."""

from __future__ import annotations

import pickle
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from labeler.light_classifier.face_features import N_ODD, VERSION
from labeler.proposals import feature_cache
from labeler.proposals.feature_cache import FeatureCache
from labeler.proposals.feature_extraction import (
    FeatureChunk,
    FeatureWorker,
    MeasuredChunk,
    extract_features,
    extract_features_elsewhere,
    extract_variants,
)
from rotation.data.sources import open_source
from rotation.errors import DatasetError
from rotation.passes.needs import Needs
from tests.labeler.lit_faces import LANDMARKS, cycle_labels, write_faces

COUNT = 9
NAMES = list(cycle_labels(COUNT))
KNOWN = dict.fromkeys(NAMES, LANDMARKS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_faces(tmp_path / "faces", cycle_labels(COUNT))
    return tmp_path / "faces"


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "home" / "features.sqlite3")


def plain(folder: Path, names: list[str], cache: FeatureCache | None) -> FeatureChunk:
    (chunk,) = extract_features(str(folder), names, 1, cache, dict.fromkeys(names, LANDMARKS))
    return chunk


def test_the_same_content_is_measured_once(folder: Path, cache: FeatureCache) -> None:
    first, second = plain(folder, NAMES, cache), plain(folder, NAMES, cache)
    assert (len(first.measured), len(second.measured)) == (COUNT, 0)
    assert_array_equal(first.features, second.features)
    assert_array_equal(first.features, plain(folder, NAMES, None).features)


def test_other_landmarks_are_measured_anew(folder: Path, cache: FeatureCache) -> None:
    """A file of landmarks that comes later, or is corrected, counts at once."""
    moved = [value + 9 for value in LANDMARKS]
    (first,) = extract_features(str(folder), NAMES, 1, cache, KNOWN)
    (second,) = extract_features(str(folder), NAMES, 1, cache, dict.fromkeys(NAMES, moved))
    (searched,) = extract_features(str(folder), NAMES, 1, cache)
    assert [len(each.measured) for each in (first, second, searched)] == [COUNT] * 3
    assert (first.features != second.features).any(axis=1).all()
    assert not set(searched.n_faces) - {0}  # the pictures show none


def test_renamed_and_copied_files_are_known(folder: Path, cache: FeatureCache) -> None:
    before = plain(folder, NAMES, cache)
    (folder / NAMES[0]).rename(folder / "moved.png")
    shutil.copy(folder / NAMES[1], folder / "copy.png")
    after = plain(folder, ["copy.png", "moved.png"], cache)
    assert not after.measured
    assert_array_equal(after.features, before.features[[1, 0]])


def test_copies_in_one_chunk_are_measured_once(folder: Path, cache: FeatureCache) -> None:
    shutil.copy(folder / NAMES[1], folder / "copy.png")
    chunk = plain(folder, [NAMES[1], "copy.png"], cache)
    assert len(chunk.measured) == 1
    assert chunk.positions == [0, 1]
    assert_array_equal(chunk.features[0], chunk.features[1])


def test_changed_content_is_measured_anew(folder: Path, cache: FeatureCache) -> None:
    before = plain(folder, NAMES, cache)
    shutil.copy(folder / NAMES[2], folder / NAMES[0])
    with (folder / NAMES[1]).open("ab") as file:
        file.write(b"\0")  # another content that looks the same
    after = plain(folder, NAMES, cache)
    assert len(after.measured) == 1
    assert_array_equal(after.features[0], before.features[2])
    assert_array_equal(after.features[1], before.features[1])


def test_what_cannot_be_read_is_told_each_time(folder: Path, cache: FeatureCache) -> None:
    (folder / NAMES[3]).write_bytes(b"no picture")
    (folder / NAMES[5]).unlink()
    for measured in (COUNT - 2, 0):
        chunk = plain(folder, NAMES, cache)
        assert len(chunk.measured) == measured
        assert chunk.positions == [0, 1, 2, 4, 6, 7, 8]
        assert [NAMES[3] in chunk.unreadable[0], NAMES[5] in chunk.unreadable[1]] == [True, True]


def test_variants_depend_on_the_content_alone(folder: Path, cache: FeatureCache) -> None:
    (first,) = extract_variants(str(folder), NAMES, 1, cache, KNOWN)
    (kept,) = extract_variants(str(folder), NAMES[::-1], 1, cache, KNOWN)
    (anew,) = extract_variants(str(folder), NAMES[::-1], 1, None, KNOWN)
    assert (len(first.measured), len(kept.measured)) == (COUNT, 0)
    assert_array_equal(kept.features, first.features[:, ::-1])
    assert_array_equal(kept.features, anew.features)


def test_another_version_begins_anew(
    folder: Path, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain(folder, NAMES, cache)
    monkeypatch.setattr(feature_cache, "VERSION", VERSION + 1)
    assert len(plain(folder, NAMES, cache).measured) == COUNT
    with sqlite3.connect(cache.path) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert {name for (name,) in tables} == {f"plain_{VERSION + 1}", f"varied_{VERSION + 1}"}
    connection.close()


def test_a_damaged_file_is_made_anew(folder: Path, cache: FeatureCache) -> None:
    cache.path.parent.mkdir()
    cache.path.write_bytes(b"this is no database" * 100)
    assert len(plain(folder, NAMES, cache).measured) == COUNT
    assert not plain(folder, NAMES, cache).measured


def test_a_change_of_the_features_needs_a_new_version(folder: Path) -> None:
    """The numbers of one picture by version; kept features would otherwise be mixed with new."""
    known = {3: (35.137998, -7.988138, 45.658930)}
    row = plain(folder, NAMES[:1], None).features[0].astype(float)
    found = (row[:N_ODD].sum(), row[N_ODD:].sum(), np.abs(row).sum())
    assert found == pytest.approx(known[VERSION], rel=1e-4)


class Elsewhere:
    """Runs a pass with a worker that was pickled, and keeps what it answers."""

    def __init__(self) -> None:
        self.answers: list[MeasuredChunk] = []

    def __call__(
        self, worker: Callable[[Any], Any], tasks: Sequence[Any], needs: Callable[[], Needs]
    ) -> Iterator[Any]:
        assert isinstance(worker, FeatureWorker)
        other = pickle.loads(pickle.dumps(worker))
        for task in tasks:
            self.answers.append(other(task))
            yield self.answers[-1]


def elsewhere(folder: Path, names: list[str], cache: FeatureCache) -> tuple[FeatureChunk, int]:
    """The features, and how many images other processes measured."""
    runner = Elsewhere()
    with open_source(folder) as source:
        (chunk,) = extract_features_elsewhere(source, names, runner, cache, KNOWN)
    return chunk, sum(len(answer.entries) for answer in runner.answers)


def test_an_interrupted_pass_measures_only_what_is_not_known(
    folder: Path, cache: FeatureCache
) -> None:
    """Also in a chunk with an image that can never be decoded."""
    (folder / "broken.png").write_bytes(b"no picture")
    names = [*NAMES, "broken.png"]
    wanted = plain(folder, NAMES, None)
    plain(folder, NAMES[:4], cache)
    first, measured = elsewhere(folder, names, cache)
    assert measured == COUNT - 4
    again, measured = elsewhere(folder, names, cache)
    assert measured == 0
    for chunk in (first, again):
        assert chunk.positions == list(range(COUNT))
        assert_array_equal(chunk.features, wanted.features)
        assert [problem.partition(":")[0] for problem in chunk.unreadable] == ["broken.png"]


def test_a_cache_that_is_deleted_during_a_pass_loses_no_image(
    folder: Path, cache: FeatureCache
) -> None:
    wanted = plain(folder, NAMES, cache)

    class Deleting(Elsewhere):
        def __call__(self, *given: Any, **named: Any) -> Iterator[Any]:
            for answer in super().__call__(*given, **named):
                cache.path.unlink()
                cache.prepare()
                yield answer

    with open_source(folder) as source:
        (chunk,) = extract_features_elsewhere(source, NAMES, Deleting(), cache, KNOWN)
    assert_array_equal(chunk.features, wanted.features)


def test_only_faults_of_the_cache_are_told_of_the_cache(folder: Path, cache: FeatureCache) -> None:
    class Broken(Elsewhere):
        def __call__(self, *_given: Any, **_named: Any) -> Iterator[Any]:
            raise OSError("the network is gone")

    (folder.parent / "file").write_text("")
    with open_source(folder) as source:
        with pytest.raises(OSError, match="the network is gone"):
            list(extract_features_elsewhere(source, NAMES, Broken(), cache))
        blocked = FeatureCache(folder.parent / "file" / "features.sqlite3")
        with pytest.raises(DatasetError, match=r"--cache .*: cannot be written"):
            list(extract_features_elsewhere(source, NAMES, Broken(), blocked))
