"""The latent store: what is put is got back, in every process, whatever is killed when."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rotation.errors import DatasetError
from rotation.latents.store import ENTRY, LatentStore

SHAPE = (3, 8, 8)


def latents(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *SHAPE)).astype(np.float16)


@pytest.fixture
def store(tmp_path):
    return LatentStore(tmp_path, "model-a", SHAPE)


def only_file(folder: Path, name: str) -> Path:
    (path,) = folder.rglob(name)
    return path


def test_rows_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rotation.latents.store._CHUNK_BYTES", 2 * 2 * 3 * 4 * 4)
    store = LatentStore(tmp_path, "model", (3, 4, 4))
    values = np.arange(5 * 48, dtype=np.float32).reshape(5, 3, 4, 4)
    store.put([str(n) for n in range(5)], values)
    found, read = store.get(["4", "0", "absent", "2", "1"])
    assert found.tolist() == [True, True, False, True, True]
    assert np.array_equal(
        read, np.stack([values[4], values[0], 0 * values[0], values[2], values[1]])
    )


def test_what_is_put_is_got_back_in_any_order(store):
    values = latents(3)
    store.put(["a", "b", "c"], values)
    found, got = store.get(["c", "missing", "a"])
    assert found.tolist() == [True, False, True]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[[0, 2]], values[[2, 0]].astype(np.float32))
    assert not got[1].any()


def test_an_empty_store_finds_nothing(store):
    found, got = store.get(["a"])
    assert not found.any()
    assert got.shape == (1, *SHAPE)
    assert len(store) == 0


def test_another_opening_sees_the_rows_even_one_made_before(store, tmp_path):
    earlier = LatentStore(tmp_path, "model-a", SHAPE)
    store.put(["a"], latents(1))
    for other in (earlier, LatentStore(tmp_path, "model-a", SHAPE)):
        assert other.get(["a"])[0].all()


def test_models_and_shapes_do_not_mix(store, tmp_path):
    store.put(["a"], latents(1))
    assert not LatentStore(tmp_path, "model-b", SHAPE).get(["a"])[0].any()
    assert not LatentStore(tmp_path, "model-a", (3, 4, 16)).get(["a"])[0].any()


def test_a_key_put_again_has_its_new_latent(store):
    store.put(["a", "b"], latents(2))
    newer = latents(1, seed=5)
    store.put(["a"], newer)
    np.testing.assert_array_equal(store.get(["a"])[1], newer)
    assert store.get(["b"])[0].all()


def test_a_damaged_row_is_not_found_and_its_neighbours_are(store, tmp_path):
    store.put(["a", "b", "c"], latents(3))
    rows = only_file(tmp_path, "rows")
    data = bytearray(rows.read_bytes())
    data[len(data) // 2] ^= 1
    rows.write_bytes(data)
    found, _ = LatentStore(tmp_path, "model-a", SHAPE).get(["a", "b", "c"])
    assert found.tolist() == [True, False, True]


@pytest.mark.parametrize("lost", [1, ENTRY.itemsize - 1, ENTRY.itemsize + 1])
def test_a_torn_index_loses_only_its_end_and_takes_new_rows(store, tmp_path, lost):
    values = latents(3)
    store.put(["a", "b", "c"], values)
    index = only_file(tmp_path, "index")
    index.write_bytes(index.read_bytes()[:-lost])
    torn = LatentStore(tmp_path, "model-a", SHAPE)
    kept = len(torn)
    assert kept == (2 if lost < ENTRY.itemsize else 1)
    torn.put(["d"], latents(1, seed=9))
    found, got = LatentStore(tmp_path, "model-a", SHAPE).get(["a", "c", "d"])
    assert found.tolist() == [True, False, True]
    np.testing.assert_array_equal(got[0], values[0].astype(np.float32))


def test_rows_cut_short_are_not_found(store, tmp_path):
    store.put(["a", "b"], latents(2))
    rows = only_file(tmp_path, "rows")
    rows.write_bytes(rows.read_bytes()[:-1])
    found, _ = LatentStore(tmp_path, "model-a", SHAPE).get(["a", "b"])
    assert found.tolist() == [True, False]


@pytest.mark.parametrize("left", [0, 1])
def test_rows_that_are_gone_are_not_found(store, tmp_path, left):
    store.put(["a"], latents(1))
    rows = only_file(tmp_path, "rows")
    rows.write_bytes(rows.read_bytes()[:left])
    found, values = LatentStore(tmp_path, "model-a", SHAPE).get(["a", "b"])
    assert not found.any()
    assert not values.any()


def test_an_index_of_zeros_holds_no_entries(store, tmp_path):
    only_file(tmp_path, "index").write_bytes(bytes(ENTRY.itemsize * 3))
    only_file(tmp_path, "rows").write_bytes(bytes(1000))
    assert len(LatentStore(tmp_path, "model-a", SHAPE)) == 0


WRITER = """
import sys
import numpy as np
from rotation.latents.store import LatentStore
store = LatentStore(sys.argv[1], "model-a", (3, 8, 8))
for batch in range(100_000):
    keys = [f"{sys.argv[2]}-{batch}-{i}" for i in range(4)]
    values = np.stack([np.full((3, 8, 8), (batch * 4 + i) % 2048) for i in range(4)])
    store.put(keys, values.astype(np.float32))
    print(batch, flush=True)
"""


def start_writer(folder, name):
    command = [sys.executable, "-c", WRITER, str(folder), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_after(process, batches):
    """Kill the writer once it has reported `batches` puts; returns how many it reported."""
    with process:
        for line in process.stdout:
            if int(line) + 1 >= batches:
                break
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    return int(rest[-1]) + 1 if rest else batches


def assert_batches_are_there(store, name, batches):
    keys = [f"{name}-{batch}-{i}" for batch in range(batches) for i in range(4)]
    found, got = store.get(keys)
    assert found.all()
    expected = (np.arange(len(keys)) % 2048).astype(np.float32)
    np.testing.assert_array_equal(got, np.broadcast_to(expected[:, None, None, None], got.shape))


def test_killed_writers_lose_nothing_that_was_acknowledged(tmp_path):
    for round_, batches in enumerate((1, 7, 20)):
        written = kill_after(start_writer(tmp_path, f"r{round_}"), batches)
        store = LatentStore(tmp_path, "model-a", SHAPE)
        assert_batches_are_there(store, f"r{round_}", written)
        store.put([f"after-{round_}"], latents(1, seed=round_))
    found, _ = LatentStore(tmp_path, "model-a", SHAPE).get([f"after-{i}" for i in range(3)])
    assert found.all()


def test_two_processes_write_at_once(tmp_path):
    writers = {name: start_writer(tmp_path, name) for name in ("x", "y")}
    written = {name: kill_after(process, 15) for name, process in writers.items()}
    store = LatentStore(tmp_path, "model-a", SHAPE)
    for name, batches in written.items():
        assert_batches_are_there(store, name, batches)


def test_wrong_shapes_and_numbers_are_refused(store):
    with pytest.raises(DatasetError, match=r"\(3, 8, 8\)"):
        store.put(["a"], np.zeros((1, 3, 4, 4)))
    with pytest.raises(DatasetError, match="needed"):
        store.put(["a", "b"], np.zeros((1, *SHAPE)))
    for bad in (np.nan, np.inf, 1e6):
        with pytest.raises(DatasetError, match="1 of 1 latents hold numbers that are not finite"):
            store.put(["odd.jpg"], np.full((1, *SHAPE), bad))
    assert len(store) == 0
