"""Zip files, and a browser that uploads them in pieces as the page's script does."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from werkzeug.test import TestResponse

from tests.conftest import write_images
from tests.labeler.conftest import Browser

Entry = tuple[str | zipfile.ZipInfo, bytes]


def image_bytes(folder: Path, count: int) -> list[tuple[str, bytes]]:
    """Names and contents of `count` small JPEGs."""
    return [
        (path.name, path.read_bytes()) for path in sorted(write_images(folder, count).iterdir())
    ]


def make_zip(entries: Iterable[Entry], method: int = zipfile.ZIP_STORED) -> bytes:
    """The bytes of a zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method, compresslevel=1) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


def begin(browser: Browser, name: str, size: int, **more: Any) -> TestResponse:
    """Begin the upload of one zip file."""
    body = {"name": name, "files": [{"name": "x.zip", "size": size}], "fingerprint": "ab12"}
    return browser.send("/admin/data-sets/imports", body | more)


def send_piece(browser: Browser, import_id: int, offset: int, data: bytes) -> TestResponse:
    """Send a piece, as the page's script does."""
    return browser.client.post(
        f"/admin/data-sets/imports/{import_id}/pieces?offset={offset}",
        data=data,
        headers={"X-CSRFToken": browser.token()},
    )


def finish(browser: Browser, import_id: int) -> TestResponse:
    """Say that all bytes were sent."""
    return browser.send(f"/admin/data-sets/imports/{import_id}/finish", {})


def upload(browser: Browser, name: str, content: bytes, piece: int = 4096) -> int:
    """Upload a zip file in pieces; returns the number of the import, whose job is queued then."""
    import_id: int = begin(browser, name, len(content)).get_json()["id"]
    for offset in range(0, len(content), piece):
        answer = send_piece(browser, import_id, offset, content[offset : offset + piece])
        assert answer.status_code == 200, answer.text
    assert finish(browser, import_id).status_code == 200
    return import_id
