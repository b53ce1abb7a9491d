"""Pictures that browsers cannot show: converted once, one at a time, and within bounds."""

from __future__ import annotations

import hashlib
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from labeler.errors import StillPreparing
from labeler.images import converted
from labeler.images.converted import ConvertedPictures
from rotation.data.decoding import decode
from tests.labeler.conftest import Visit, lease


def deep_picture(width: int, height: int, white: int = 65535) -> bytes:
    values = np.linspace(0, white, width * height).reshape(height, width).astype(np.uint16)
    buffer = io.BytesIO()
    Pillow.fromarray(values).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def kept_files(home: Path) -> list[Path]:
    return [path for path in (home / "converted").glob("*/*") if path.is_file()]


class Source:
    """Counts how often a picture is read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.reads = data, 0

    def __call__(self) -> bytes:
        self.reads += 1
        return self.data


def test_a_large_picture_is_converted_once(tmp_path: Path) -> None:
    source = Source(deep_picture(1200, 1000))
    pictures = ConvertedPictures(tmp_path)
    first = pictures.for_browser(source, "x.png", sha(source.data))
    again = ConvertedPictures(tmp_path).for_browser(source, "x.png", sha(source.data))
    assert first == again
    assert (source.reads, len(kept_files(tmp_path))) == (1, 1)
    shown = Pillow.open(io.BytesIO(first[0]))
    assert (shown.format, shown.mode, shown.size) == ("PNG", "L", (1200, 1000))
    assert (np.asarray(shown) == np.asarray(decode(source.data, "x"))[:, :, 0]).all()


def test_a_huge_picture_becomes_smaller(tmp_path: Path) -> None:
    data = deep_picture(5000, 1000)
    shown, mime = ConvertedPictures(tmp_path).for_browser(lambda: data, "x.png", sha(data))
    assert mime == "image/png"
    assert Pillow.open(io.BytesIO(shown)).size == (4096, 819)


def test_small_pictures_and_changed_files_are_not_kept(tmp_path: Path) -> None:
    pictures = ConvertedPictures(tmp_path)
    small, large = deep_picture(100, 100), deep_picture(1200, 1000)
    pictures.for_browser(lambda: small, "x.png", sha(small))
    pictures.for_browser(lambda: large, "x.png", sha(b"what it was"))
    assert kept_files(tmp_path) == []


def test_what_a_browser_can_show_stays_as_it_is(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Pillow.new("RGB", (1200, 1000)).save(buffer, "PNG")
    data = buffer.getvalue()
    shown = ConvertedPictures(tmp_path).for_browser(lambda: data, "x.png", sha(data))
    assert shown == (data, "image/png")


def test_the_folder_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converted, "MAX_KEPT_BYTES", 1)
    pictures = ConvertedPictures(tmp_path)
    for white in (60_000, 65_000):
        data = deep_picture(1200, 1000, white)
        pictures.for_browser(lambda data=data: data, "x.png", sha(data))
    assert kept_files(tmp_path) == []
    monkeypatch.setattr(converted, "MAX_KEPT_BYTES", 10**9)
    for white in (60_000, 65_000):
        data = deep_picture(1200, 1000, white)
        pictures.for_browser(lambda data=data: data, "x.png", sha(data))
    assert len(kept_files(tmp_path)) == 2


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "converted").write_text("no folder")
    data = deep_picture(1200, 1000)
    shown, _ = ConvertedPictures(tmp_path).for_browser(lambda: data, "x.png", sha(data))
    assert Pillow.open(io.BytesIO(shown)).size == (1200, 1000)


def test_few_wait_for_a_large_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = ConvertedPictures(tmp_path)
    data = deep_picture(1200, 1000)
    at_work, may_end, conversions = threading.Event(), threading.Event(), []
    convert = converted._convert

    def slow(*arguments: str) -> tuple[bytes, str]:
        conversions.append(arguments)
        at_work.set()
        may_end.wait(30)
        return convert(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(converted, "_convert", slow)

    def view() -> int:
        return len(pictures.for_browser(lambda: data, "x.png", sha(data))[0])

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(view)
        at_work.wait(30)
        second = pool.submit(view)
        while pictures._places._value:
            threading.Event().wait(0.01)
        with pytest.raises(StillPreparing):
            view()
        may_end.set()
        assert first.result() == second.result()
    assert len(conversions) == 1


def test_a_page_that_must_wait_is_told_when_to_ask_again(
    visit: Visit, dataset_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise StillPreparing("Try again.")

    monkeypatch.setattr(ConvertedPictures, "for_browser", busy)
    ann = visit("annotator")
    answer = ann.get(lease(ann)[0]["url"])
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "immutable" not in answer.headers.get("Cache-Control", "")
