"""Image sets in a real store that speaks S3: as on this machine, whatever the store does."""

from __future__ import annotations

import http.server
import multiprocessing
import os
import pickle
import random
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks._s3_server import environment_of, s3_server
from rotation.data.celeba import find_tables, read_tables
from rotation.data.image_source import MAX_IMAGE_BYTES, UNREADABLE, fingerprint_of
from rotation.data.sources import open_source
from rotation.errors import DatasetError, ImageError, StoreError
from rotation.poses.measuring import PoseWorker
from rotation.poses.pose_cache import PoseCache
from rotation.remote_paths import RemotePath, is_url, redact
from tests.object_store import BUCKET, Store
from tests.rotation.data.test_sources import FILES, OTHERS, write_folder, write_zip

ATTRIBUTES = b"image_id,Male\n000001.jpg,1\n000002.jpg,-1\n"
PICTURES = {"000001.jpg": b"one", "000002.jpg": b"two"}
PARTS = {f"img_align_celeba/{name}": data for name, data in PICTURES.items()}
LAYOUTS: Mapping[str, Mapping[str, bytes]] = {
    "plain": FILES | OTHERS,
    "celeba": PARTS | {"list_attr_celeba.csv": ATTRIBUTES},
    "download": {f"Img/{name}": data for name, data in PARTS.items()}
    | {"Anno/list_attr_celeba.csv": ATTRIBUTES},
    "nested": {f"img_align_celeba/{name}": data for name, data in PARTS.items()},
}
OPEN = """
import sys
from rotation.data.sources import open_source
from rotation.errors import RotationError
from rotation.remote_paths import RemotePath
try:
    open_source(RemotePath(sys.argv[1]))
except RotationError as error:
    print(error)
"""


def open_url(url: str, before: str = "", **environment: str) -> str:
    """What opening a URL says in a process with nothing else about stores in its environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", before + OPEN, url],
        env={**kept, "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "secret" not in done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["folder", "zip"])
def remote(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> RemotePath:
    """The same images as a folder and as a zip in the store."""
    if request.param == "folder":
        return RemotePath(store.put("kinds/images", write_folder(tmp_path / "i", FILES | OTHERS)))
    return RemotePath(store.put("kinds/images.zip", write_zip(tmp_path / "i.zip", FILES | OTHERS)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_set_in_a_store_is_that_of_this_machine(
    store: Store, tmp_path: Path, layout: str, packed: bool
) -> None:
    place = write_folder(tmp_path / "s", LAYOUTS[layout])
    if packed:
        place = write_zip(tmp_path / "s.zip", LAYOUTS[layout])
    url = RemotePath(store.put(f"{layout}-{packed}/{place.name}", place))
    with open_source(place) as here, open_source(url) as there:
        assert there.names() == here.names()
        assert len(here.names()) >= 2
        for name in here.names():
            assert there.read(name) == here.read(name)
            assert there.fingerprint(name) == here.fingerprint(name)
    ours, theirs = read_tables(place).attributes, read_tables(url).attributes
    assert (ours is None) == (theirs is None) == (layout in ("plain", "nested"))
    if ours is not None and theirs is not None:
        assert theirs.filenames == ours.filenames
        assert str(theirs.path) == str(ours.path).replace(str(place), str(url))


def test_a_whole_zip_goes_before_a_part_of_it_and_tables_beside_are_found(
    store: Store, tmp_path: Path
) -> None:
    write_folder(tmp_path / "s", {"img_align_celeba/000001.jpg": b"one"})
    write_zip(tmp_path / "s" / "img_align_celeba.zip", PARTS)
    (tmp_path / "s" / "list_attr_celeba.csv").write_bytes(ATTRIBUTES)
    url = RemotePath(store.put("part", tmp_path / "s"))
    with open_source(url) as found:
        assert list(found.names()) == sorted(PICTURES)
        assert "s3://faces/part/img_align_celeba holds 1 images" in found.notes[0]
    assert find_tables(url).attributes == url / "list_attr_celeba.csv"
    with open_source(url / "img_align_celeba") as found:
        assert list(found.names()) == ["000001.jpg"]
        assert "holds 2 images" in found.notes[0]
    assert find_tables(url / "img_align_celeba.zip").attributes == url / "list_attr_celeba.csv"


def test_a_name_that_is_not_there_or_leaves_the_set_is_refused(remote: RemotePath) -> None:
    with open_source(remote) as source:
        for name in ("../secret.jpg", "/etc/hostname", "", "a\\..\\b", "C:/x.jpg"):
            with pytest.raises(DatasetError, match="leaves the data set"):
                source.read(name)
        with pytest.raises(DatasetError, match=r"'none\.jpg': not in s3://faces/kinds/.* such as"):
            source.read("none.jpg")


def test_keys_that_lead_out_of_the_set_are_left_out_and_told(store: Store) -> None:
    for key in ("a.jpg", "x/../b.jpg", "c//d.jpg", "e\\..\\f.jpg", "g:/h.jpg"):
        store.write(f"odd/{key}", b"1")
    with open_source(RemotePath("s3://faces/odd")) as source:
        assert list(source.names()) == ["a.jpg"]
        assert source.notes[0].startswith("4 images are left out")


def test_a_large_image_is_not_read(store: Store) -> None:
    store.write("large/a.jpg", bytes(MAX_IMAGE_BYTES + 1))
    store.write("large/b.jpg", b"b")
    with open_source(RemotePath("s3://faces/large")) as source:
        before = store.line.received
        with pytest.raises(ImageError, match=r"a\.jpg: larger than 64 MiB"):
            source.read("a.jpg")
        assert source.read("b.jpg") == b"b"
        assert store.line.received - before < 100_000


def test_of_a_large_zip_only_parts_are_read(store: Store, tmp_path: Path) -> None:
    draw = random.Random(1).randbytes
    files = {f"{k:03d}.jpg": draw(50_000) for k in range(400)}
    url = RemotePath(store.put("large.zip", write_zip(tmp_path / "large.zip", files)))
    before = store.line.received
    with open_source(url) as source:
        assert source.read("200.jpg") == files["200.jpg"]
        assert source.fingerprint("000.jpg") == "50000-" + source.fingerprint("000.jpg")[-8:]
        assert store.line.received - before < 4_000_000
        assert {name: source.read(name) for name in source.names()} == files


def test_a_zip_that_is_cut_off_or_damaged_or_a_bomb_is_refused(
    store: Store, tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "cut.zip", {"a.jpg": b"A" * 9_000, "b.jpg": b"B" * 100})
    data = path.read_bytes()
    store.write("cut.zip", data[: len(data) // 2])
    store.write("damaged.zip", data.replace(b"A" * 50, b"X" * 50))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.jpg", bytes(70_000))
    stated, claimed = (70_000).to_bytes(4, "little"), (9).to_bytes(4, "little")
    store.write("bomb.zip", (tmp_path / "bomb.zip").read_bytes().replace(stated, claimed))
    store.put("out.zip", write_zip(tmp_path / "out.zip", {"../evil.jpg": b"1"}))
    with pytest.raises(DatasetError, match=r"s3://faces/cut\.zip: neither a folder nor a readable"):
        open_source(RemotePath("s3://faces/cut.zip"))
    with pytest.raises(DatasetError, match="leaves the data set"):
        open_source(RemotePath("s3://faces/out.zip"))
    for name, image in (("damaged.zip", "a.jpg"), ("bomb.zip", "bomb.jpg")):
        with (
            open_source(RemotePath(f"s3://faces/{name}")) as source,
            pytest.raises(ImageError, match=rf"{image}: damaged in {name}"),
        ):
            source.read(image)


def test_an_object_that_was_deleted_meanwhile_is_an_error_of_that_image(store: Store) -> None:
    for name in FILES:
        store.write(f"going/{name}", b"1")
    with open_source(RemotePath("s3://faces/going")) as source:
        store.client.rm_file(f"{BUCKET}/going/b.jpg")
        with pytest.raises(ImageError, match=r"b\.jpg: s3://faces/going/b\.jpg: there is no such"):
            source.read("b.jpg")
        assert source.fingerprint("b.jpg") == UNREADABLE
        assert source.read("a.PNG") == b"1"


@pytest.mark.parametrize("packed", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_lost_connection_is_made_anew_and_at_last_ends_the_work(
    store: Store, tmp_path: Path, packed: bool
) -> None:
    draw = random.Random(2).randbytes
    files = {f"{k}.jpg": draw(1_500_000) for k in range(4)}  # each in other blocks of the zip
    if packed:
        url = store.put("lost.zip", write_zip(tmp_path / "lost.zip", files))
    else:
        url = store.put("lost", write_folder(tmp_path / "lost", files))
    with open_source(RemotePath(url)) as source:
        store.line.cut(dead=1)
        assert source.read("0.jpg") == files["0.jpg"]
        with store.line.dead():
            with pytest.raises(StoreError, match=r"s3://.* the store cannot be read"):
                source.read("1.jpg")
            with pytest.raises(StoreError):
                PoseWorker(source)(["2.jpg"])
        assert source.fingerprint("2.jpg") == fingerprint_of(files["2.jpg"])
        assert source.read("1.jpg") == files["1.jpg"]


@pytest.mark.slow
def test_poses_are_kept_if_the_store_is_gone(store: Store, tmp_path: Path) -> None:
    store.write("gone/0.jpg", b"1")
    with open_source(RemotePath("s3://faces/gone")) as source:
        path = tmp_path / "poses.csv"
        PoseCache(path, source).add(["0.jpg"], [(1.0, 2.0, 3.0, 0.9)], [fingerprint_of(b"1")])
        before = path.read_bytes()
        with store.line.dead(), pytest.raises(StoreError):
            PoseCache(path, source).drop_replaced(["0.jpg"])
        assert path.read_bytes() == before
        assert PoseCache(path, source).drop_replaced(["0.jpg"]) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@host/faces.zip?sig=secret",
        "s3://KEY:sec/ret@bucket/faces",
        "https://host/a b.zip?sig=secret",
    ],
)
def test_the_text_of_a_url_has_no_secrets(url: str) -> None:
    for shown in (str(RemotePath(url)), redact(url)):
        assert "secret" not in shown
        assert "ret@" not in shown
        assert shown.startswith(url.partition("://")[0])


def test_a_url_within_a_url_is_refused_without_its_secrets() -> None:
    with pytest.raises(StoreError, match="A URL within a URL") as caught:
        RemotePath("zip://in.zip::https://user:secret@host/f.zip")
    assert "secret" not in str(caught.value)
    assert "secret" not in redact("zip://in.zip::https://user:secret@host/f.zip")


def test_threads_share_a_source_and_a_fork_and_another_process_read_on(
    store: Store, remote: RemotePath
) -> None:
    with open_source(remote) as source:
        with ThreadPoolExecutor(8) as threads:
            names = [name for name in source.names() for _ in range(20)]
            assert list(threads.map(source.read, names)) == [FILES[name] for name in names]
        fork = multiprocessing.get_context("fork")
        child = fork.Process(target=_read_all, args=(source,))
        child.start()
        child.join(30)
        assert child.exitcode == 0
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(_read_all, (source,))
        copy = pickle.loads(pickle.dumps(source))
        assert copy.names() == source.names()
        with source.opening()() as anew:
            assert anew.names() == source.names()


def test_what_is_read_ahead_is_what_is_read(store: Store, remote: RemotePath) -> None:
    with open_source(remote) as source:
        source.read_ahead([*FILES, "none.jpg"])
        _read_all(source)
        with pytest.raises(DatasetError, match="not in"):
            source.read("none.jpg")
        source.read_ahead(list(FILES))
        source.read_ahead(["b.jpg"])
        _read_all(source)
        fork = multiprocessing.get_context("fork")
        source.read_ahead(list(FILES))
        child = fork.Process(target=_read_all, args=(source,))
        child.start()
        child.join(30)
        assert child.exitcode == 0


def _read_all(source: object) -> None:
    assert {name: source.read(name) for name in source.names()} == FILES  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://faces/nowhere", "s3://faces/nowhere: there is no such bucket, folder or file"),
        ("s3://faces/no.zip", "s3://faces/no.zip: there is no such bucket, folder or file"),
        ("s3://nobody/x", "s3://nobody/x: there is no such bucket, folder or file"),
        ("s3://nobody/x.zip", "s3://nobody/x.zip: there is no such bucket, folder or file"),
        ("nothing://x/y", "nothing://x/y: the store cannot be read .Protocol not known: nothing"),
        ("memory://empty/x", "there is no such bucket, folder or file"),
    ],
)
def test_a_place_that_is_not_there_is_told(store: Store, url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        open_source(RemotePath(url))


def test_a_folder_without_images_is_told(store: Store) -> None:
    store.write("texts/readme.txt", b"")
    store.write("texts/faces.zip", b"")
    with pytest.raises(DatasetError, match=r"no images found.*not opened \(faces\.zip\)"):
        open_source(RemotePath("s3://faces/texts/"))


def test_no_permission_and_no_credentials_are_told() -> None:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with s3_server(INITIAL_NO_AUTH_ACTION_COUNT="0") as port:
        url = f"http://127.0.0.1:{port}"
        refused = open_url("s3://faces/x", **environment_of(url))
        assert "s3://faces/x: no permission to read it (Forbidden)" in refused
        unknown = open_url("s3://faces/x.zip", AWS_ENDPOINT_URL=url)
        assert "s3://faces/x.zip: the environment has no credentials for it" in unknown


@pytest.mark.parametrize("url", ["s3://faces/x", "http://ada:secret@127.0.0.1:1/x.zip?key=secret"])
def test_a_store_that_cannot_be_reached_is_told_soon_and_without_secrets(url: str) -> None:
    pytest.importorskip("s3fs")
    told = open_url(url, **environment_of("http://127.0.0.1:1"))
    assert told.startswith(f"{RemotePath(url)}: the store cannot be read")
    assert "onnect" in told


@pytest.mark.slow
@pytest.mark.parametrize("url", ["s3://faces/x", "http://{}/x.zip"])
def test_a_store_that_is_silent_is_not_waited_for_without_end(url: str) -> None:
    pytest.importorskip("s3fs")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        told = open_url(
            url.format(address),
            "import rotation.remote_paths as r; r.READ_S = 2\n",
            **environment_of(f"http://{address}"),
        )
    assert "the store does not answer in time" in told


def test_the_web_gives_zips_by_parts(store: Store, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "web.zip", FILES | {"list_attr_celeba.csv": ATTRIBUTES})
    store.put("web/web.zip", path)
    signed = RemotePath(store.client.sign(f"{BUCKET}/web/web.zip"))
    assert "Signature" in signed.url
    assert str(signed) == f"{store.line.url}/faces/web/web.zip"
    with open_source(signed) as source, open_source(path) as here:
        assert source.names() == here.names()
        assert source.read("b.jpg") == FILES["b.jpg"]
    table = read_tables(signed).attributes
    assert table is not None
    assert str(table.path) == f"{signed}/list_attr_celeba.csv"


def test_a_server_that_gives_no_parts_is_told(store: Store, tmp_path: Path) -> None:
    write_zip(tmp_path / "web.zip", {f"{k}.jpg": os.urandom(500_000) for k in range(8)})
    handler = partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/web.zip"
        with pytest.raises(DatasetError, match=r"web\.zip: the server gives whole files only"):
            open_source(RemotePath(url))
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def copyfile(self, *files: Any) -> None:
        """Send a file, as long as somebody listens."""
        with suppress(OSError):
            super().copyfile(*files)


def test_other_stores_of_fsspec_are_read_too(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.put(str(write_zip(tmp_path / "i.zip", FILES)), "/images.zip")
    memory.put(str(write_folder(tmp_path / "i", FILES)), "/images", recursive=True)
    for url in ("memory://images", "memory://images.zip", "simplecache::memory://images.zip"):
        with open_source(RemotePath(url)) as source:
            assert {name: source.read(name) for name in source.names()} == FILES
    shutil.rmtree(tmp_path / "i")


def test_text_is_never_a_url_for_what_the_site_opens() -> None:
    for url in ("s3://faces/x", "https://ada:secret@host/x.zip?key=secret"):
        with pytest.raises(DatasetError, match="folders and zips of this machine") as error:
            open_source(url)
        assert "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["s3://faces/x", "https://example.org/x.zip"])
def test_without_its_packages_the_extra_is_named(url: str) -> None:
    for missing in ("fsspec", "s3fs" if url.startswith("s3") else "aiohttp"):
        told = open_url(url, f"import sys; sys.modules['{missing}'] = None\n")
        assert "pip install -r requirements/remote.txt" in told


def test_a_missing_package_of_another_store_is_told() -> None:
    fsspec = pytest.importorskip("fsspec")
    if "gcsfs" in sys.modules or fsspec.utils.get_package_version_without_import("gcsfs"):
        pytest.skip("gcsfs is installed")
    with pytest.raises(StoreError, match="gs://bucket/x: Please install gcsfs"):
        open_source(RemotePath("gs://bucket/x"))


def test_local_images_load_nothing_for_stores(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "i", FILES)
    code = (
        "import sys, rotation.cli.run\n"
        "from rotation.data.image_set import open_images, read_matching_tables\n"
        "with open_images(sys.argv[1]) as source:\n"
        "    read_matching_tables(source.path, source.names())\n"
        "print([name for name in ('fsspec', 's3fs', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_urls_and_paths_are_told_apart() -> None:
    for url in ("s3://b", "S3://b/x", "simplecache::s3://b", "https://h/x.zip", "memory://x"):
        assert is_url(url)
    for path in ("/a/b", "a:b", "C:/x", "~/CelebA", "s3:/b", "://x", "./s3://b"):
        assert not is_url(path)


def test_a_remote_path_is_put_together_as_a_url() -> None:
    path = RemotePath("s3://bucket/celeba/")
    assert (path / "img_align_celeba.zip").url == "s3://bucket/celeba/img_align_celeba.zip"
    assert [each.url for each in (path / "x" / "y").parents] == [
        "s3://bucket/celeba/x",
        "s3://bucket/celeba",
        "s3://bucket",
    ]
    assert RemotePath("s3://bucket").parent == RemotePath("s3://bucket")
    web = RemotePath("https://u:p@h.org/a/x.zip?key=k")
    assert (str(web), web.name, web.is_zip()) == ("https://h.org/a/x.zip", "x.zip", True)
    assert (web / "t.csv").url == "https://u:p@h.org/a/x.zip/t.csv?key=k"
    assert (web / "a" / "t.csv").relative_to(web).as_posix() == "a/t.csv"
    assert "p@" not in repr(web)
    assert redact("see 'https://u:p@h.org/x?k=1', s3://b/k") == "see 'https://h.org/x', s3://b/k"
