"""Whole sets in shards: the same files to the bit, whoever made them and whatever was killed."""

import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rotation.cli.embed import embed, merge
from rotation.data.sources import open_source
from rotation.diffusion.latent_model import LatentModel
from rotation.errors import DatasetError
from rotation.latents.encoders import BATCH, open_cluster_store, open_codec
from rotation.latents.merge import merge as merge_stores
from rotation.latents.shards import SameCodec, Shard, ShardCounts, encode_elsewhere, encode_shard
from rotation.latents.store import LatentStore
from rotation.options import ModelOptions
from tests.rotation.modelling import SIZE, gradients, tiny_folder

COUNT = 5 * BATCH // 2  # two batches and a half


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Pictures, one of them twice in different batches, one no picture at all."""
    folder = tmp_path_factory.mktemp("images")
    pixels = (gradients(COUNT).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    pixels[-1] = pixels[0]
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number:03}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("model") / "tiny")


def options(images, model, cache):
    words = ["--images", images, "--model", model, "--cache", cache, "--device", "cpu"]
    return [str(word) for word in [*words, "--steps", 2, "--iterations", 1, "--no-bf16"]]


def stored(cache):
    return sum(path.stat().st_size for path in cache.rglob("rows"))


def embed_shard(images, model, cache, shard="1/1"):
    done = CliRunner().invoke(embed, [*options(images, model, cache), "--shard", shard])
    assert done.exit_code == 0, done.output
    return done.output


def merged_files(out, *caches):
    done = CliRunner().invoke(merge, [*map(str, caches), "--out", str(out)])
    assert done.exit_code == 0, done.output
    (folder,) = (out / "latents").iterdir()
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(images, model, tmp_path_factory):
    """The merged files of one uninterrupted process."""
    folder = tmp_path_factory.mktemp("whole")
    embed_shard(images, model, folder / "one")
    return merged_files(folder / "merged", folder / "one")


@pytest.mark.parametrize("count", [2, 3])
def test_one_process_and_many_shards_make_equal_files(tmp_path, images, model, whole, count):
    caches = [tmp_path / str(i) for i in range(count)]
    for i, cache in enumerate(caches, start=1):
        embed_shard(images, model, cache, f"{i}/{count}")
    assert merged_files(tmp_path / "merged", *caches[::-1]) == whole


def test_shards_into_one_cache_too(tmp_path, images, model, whole):
    for shard in ("2/2", "1/2", "1/2"):
        embed_shard(images, model, tmp_path / "one", shard)
    assert merged_files(tmp_path / "merged", tmp_path / "one") == whole


def test_the_counts_are_said_and_a_second_run_finds_all(tmp_path, images, model):
    assert f"{COUNT - 1} embedded, 1 known before, 1 unreadable" in embed_shard(
        images, model, tmp_path
    )
    assert f"0 embedded, {COUNT} known before" in embed_shard(images, model, tmp_path)


def test_a_killed_run_goes_on_and_ends_with_the_same_files(tmp_path, images, model, whole):
    code = "from rotation.cli.embed import embed; embed()"
    command = [sys.executable, "-c", code, *options(images, model, tmp_path / "one")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with process:
        while process.poll() is None and not stored(tmp_path / "one"):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    embed_shard(images, model, tmp_path / "one")
    assert merged_files(tmp_path / "merged", tmp_path / "one") == whole


def test_merged_latents_are_found_and_are_those_of_the_model(tmp_path, images, model):
    encoder = LatentModel.load(model, "cpu", steps=2, iterations=1)
    shape = (3, SIZE, SIZE)
    parts = [LatentStore(tmp_path / str(i), encoder.fingerprint, shape) for i in range(2)]
    with open_source(images) as source:
        for i, part in enumerate(parts):
            encode_shard(encoder, part, source, Shard(i, 2))
        merge_stores([tmp_path / "0", tmp_path / "1"], tmp_path / "all")
        joined = LatentStore(tmp_path / "all", encoder.fingerprint, shape)
        assert encode_shard(encoder, joined, source, Shard()) == ShardCounts(0, COUNT, 1)
    assert len(joined) == COUNT - 1


def test_damaged_rows_are_left_out_and_counted(tmp_path):
    values = np.random.default_rng(0).standard_normal((3, 3, 4, 4))
    store = LatentStore(tmp_path / "a", "m", (3, 4, 4))
    store.put(["x", "y", "z"], values)
    rows = store.folder / "rows"
    data = bytearray(rows.read_bytes())
    data[100] ^= 1
    rows.write_bytes(data)
    (result,) = merge_stores([tmp_path / "a"], tmp_path / "b")
    assert (result.rows, result.damaged) == (2, 1)
    found, got = LatentStore(tmp_path / "b", "m", (3, 4, 4)).get(["x", "y", "z"])
    assert found.tolist() == [True, False, True]
    np.testing.assert_array_equal(got[2], values[2].astype(np.float16))


def test_merging_refuses_what_is_no_store_and_a_place_that_is_taken(tmp_path):
    LatentStore(tmp_path / "a", "m", (3, 4, 4)).put(["x"], np.zeros((1, 3, 4, 4)))
    with pytest.raises(DatasetError, match="no store"):
        merge_stores([tmp_path / "a", tmp_path / "none"], tmp_path / "b")
    merge_stores([tmp_path / "a"], tmp_path / "b")
    with pytest.raises(DatasetError, match="already"):
        merge_stores([tmp_path / "a"], tmp_path / "b")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0"])
def test_shards_that_do_not_exist_are_refused(shard, tmp_path):
    words = ["--images", str(tmp_path), "--shard", shard]
    done = CliRunner().invoke(embed, words)
    assert done.exit_code == 2
    assert "i/N" in done.output


def test_what_another_process_has_stored_meanwhile_is_not_stored_again(images, model, tmp_path):
    """Both began with an empty store; the other one was quicker."""
    codec = open_codec(ModelOptions(folder=model, device="cpu", steps=2, iterations=1, bf16=False))
    with open_source(images) as source:

        def other_is_quicker(worker, tasks, _needs):
            for task in tasks:
                found = worker(task)
                if task is tasks[0]:
                    encode_shard(codec, open_cluster_store(tmp_path, codec), source, Shard())
                    rows.append(stored(tmp_path))
                yield pickle.loads(pickle.dumps(found))

        rows: list[int] = []
        same = SameCodec.of(ModelOptions(folder=model, device="cpu", steps=2, iterations=1), codec)
        store = open_cluster_store(tmp_path, codec)
        told: list[tuple[int, int]] = []
        done = encode_elsewhere(
            same, store, source, Shard(), other_is_quicker, lambda _stage, *n: told.append(n)
        )
    assert done == ShardCounts(0, COUNT, 1)
    assert rows == [stored(tmp_path)]
    assert told[-1] == (1, 1)  # of those that were not known before
