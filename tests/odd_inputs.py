"""Pictures, zips and folders such as people have them by mistake or by malice."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

Make = Callable[[Path], Path]
PLAIN = Image.fromarray(
    np.random.default_rng(3).integers(0, 255, (24, 22, 3), dtype=np.uint8), "RGB"
)


def encode(image: Image.Image = PLAIN, kind: str = "JPEG", **options: object) -> bytes:
    """The bytes of an image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a few hundred bytes that states billions of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(100_000))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def odd_pictures() -> dict[str, bytes]:
    """Files by name: readable ones of odd kinds, and damaged ones."""
    grey = PLAIN.convert("L")
    deep = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    moving = {"save_all": True, "append_images": [PLAIN.rotate(90)]}
    whole = {
        "cmyk.jpg": encode(PLAIN.convert("CMYK")),
        "grey.jpg": encode(grey),
        "sixteen.png": encode(deep, "PNG"),
        "sixteen.tif": encode(deep, "TIFF"),
        "integer.tif": encode(Image.fromarray(np.asarray(grey, np.int32)), "TIFF"),
        "float.tif": encode(Image.fromarray(np.asarray(grey, np.float32) / 255), "TIFF"),
        "palette.png": encode(PLAIN.convert("P"), "PNG"),
        "palette_clear.png": encode(PLAIN.convert("P"), "PNG", transparency=3),
        "palette.gif": encode(PLAIN.convert("P"), "GIF"),
        "bilevel.png": encode(PLAIN.convert("1"), "PNG"),
        "alpha.png": encode(PLAIN.convert("RGBA"), "PNG"),
        "grey_alpha.png": encode(PLAIN.convert("LA"), "PNG"),
        "moving.gif": encode(PLAIN, "GIF", **moving),
        "moving.webp": encode(PLAIN, "WEBP", **moving),
        "moving.png": encode(PLAIN, "PNG", **moving),
        "lossless.webp": encode(PLAIN, "WEBP", lossless=True),
        "pages.tif": encode(PLAIN, "TIFF", **moving),
        "lzw.tif": encode(PLAIN, "TIFF", compression="tiff_lzw"),
        "plain.bmp": encode(PLAIN, "BMP"),
        "plain.ppm": encode(PLAIN, "PPM"),
        "plain.pgm": encode(grey, "PPM"),
        "UPPER.JPG": encode(),
        "mixed.JpEg": encode(),
        "png_called.jpg": encode(PLAIN, "PNG"),
        "gif_called.png": encode(PLAIN.convert("P"), "GIF"),
        "trailing.jpg": encode() + b"more" * 100,
        "progressive.jpg": encode(PLAIN, progressive=True),
        "two dots.and spaces.jpg": encode(),
        "=formula.jpg": encode(),
        "ümläut 照片.jpg": encode(),
        "%41%2e%2e.jpg": encode(),
        "-dash.jpg": encode(),
        "comment.jpg": encode(PLAIN, comment=b"x" * 60_000),
        "one_pixel.png": encode(PLAIN.crop((0, 0, 1, 1)), "PNG"),
        "thin.png": encode(PLAIN.resize((1, 400)), "PNG"),
        "aligned_grey.jpg": encode(Image.new("RGB", (178, 218), (120, 120, 120))),
        **{f"exif_{k}.jpg": encode(PLAIN, exif=_orientation(k)) for k in (0, 2, 3, 5, 6, 8, 9)},
    }
    jpeg, png = whole["grey.jpg"], whole["alpha.png"]
    broken = {
        "empty.jpg": b"",
        "zeros.jpg": bytes(5_000),
        "text.jpg": b"not a picture",
        "html.png": b"<!doctype html><title>404</title>",
        "eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "pdf.jpg": b"%PDF-1.4\n",
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "zip_called.jpg": b"PK\x03\x04" + bytes(60),
        "pointer.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "bomb.png": png_bomb(),
        "wide_bomb.png": png_bomb(2**31 - 1, 1),
        "short.png": png_bomb(300, 300)[:80],
        "header_only.gif": b"GIF89a\xff\xff\xff\xff\x00\x00\x00",
        "endless.ppm": b"P6 99999 99999 255\n",
        "no_size.pgm": b"P5 x y 255\n",
        "tiny.bmp": b"BM" + bytes(20),
        "bad.tif": b"II*\x00\xff\xff\xff\xff" + bytes(40),
        "loop.tif": b"II*\x00\x08\x00\x00\x00" + struct.pack("<HHHIII", 1, 256, 3, 1, 9, 8),
        "riff.webp": b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(30),
        **{f"jpeg_{share}.jpg": jpeg[: len(jpeg) * share // 100] for share in (1, 30, 60, 99)},
        **{f"png_{share}.png": png[: len(png) * share // 100] for share in (1, 30, 60, 90)},
        "flipped.jpg": jpeg[:200] + bytes(byte ^ 255 for byte in jpeg[200:]),
    }
    return whole | broken


SYSTEM_FILES = {
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
    ".DS_Store": b"\0",
    "._grey.jpg": b"\0",
    "__MACOSX/._a.jpg": b"\0",
    ".hidden/a.jpg": b"\0",
    "desktop.ini": b"",
}


def odd_zips() -> Iterator[tuple[str, Make]]:
    """Zips by what is odd about them; each maker writes one at a path."""
    one = {"a.jpg": encode(), "b.jpg": encode(PLAIN.rotate(90))}
    for name in (
        *("../up.jpg", "x/../../up.jpg", "/etc/absolute.jpg", "C:/drive.jpg", "..\\up.jpg"),
        *("\\\\host\\share\\a.jpg", "./here.jpg", "x//y.jpg", "x/./y.jpg", "line\nbreak.jpg"),
        *("folder.jpg/", "folder.jpg/in.jpg", "é-cp437.jpg", "照片.jpg", "tab\t.jpg", " .jpg"),
        *("con.jpg", "trailing .jpg ", "a" * 300 + ".jpg", "A.JPG", ".jpg", "Thumbs.db"),
        *("__MACOSX/._a.jpg", "..jpg", "x/..", "*.jpg", "<b>.jpg", "=1+1.jpg"),
    ):
        yield f"an entry {name[:20]!r}", _packed(one | {name: encode()})
    yield "no entry", _packed({})
    yield "no image", _packed({"readme.txt": b"", **SYSTEM_FILES})
    yield "system files", _packed(one | SYSTEM_FILES)
    yield "zip in zip", _packed({"img_align_celeba.zip": _bytes_of(one)})
    yield "zip in zip beside images", _packed(one | {"more.zip": _bytes_of(one)})
    yield "bomb", _packed(one | {"bomb.jpg": bytes(65 * 2**20)}, zipfile.ZIP_DEFLATED)
    yield "bzip2 bomb", _packed(one | {"bomb.jpg": bytes(20 * 2**20)}, zipfile.ZIP_BZIP2)
    yield "lzma", _packed(one, zipfile.ZIP_LZMA)
    yield "lying size", _patched((70_000).to_bytes(4, "little"), (9).to_bytes(4, "little"))
    yield "twice", _twice
    yield "encrypted", _flagged(1)
    yield "wrong utf-8", _patched("é.jpg".encode(), b"\xff\xff.jpg")
    yield "unknown method", _patched(b"\x08\x00", b"\x63\x00")
    yield "damaged lzma", _patched(b"\x09\x04\x05\x00", b"\xff\xff\xff\x00", zipfile.ZIP_LZMA)
    for share in (0, 10, 50, 99):
        yield f"{share} % of it", _cut(share)
    yield "text", _written(b"not a zip")
    yield "rar", _written(b"Rar!\x1a\x07\x00" + bytes(40))
    yield "garbage before", _prefixed


def odd_folders() -> Iterator[tuple[str, Make]]:
    """Folders by what is odd about them; each maker fills one at a path."""
    specials: dict[str, Callable[[Path], object]] = {
        "loop": lambda path: path.symlink_to(path.name),
        "broken link": lambda path: path.symlink_to("nowhere"),
        "link to a device": lambda path: path.symlink_to("/dev/zero"),
        "link out": lambda path: path.symlink_to("/etc/hostname"),
        "link to the folder": lambda path: path.symlink_to("."),
        "pipe": os.mkfifo,
        "folder": lambda path: path.mkdir(),
    }
    for what, make in specials.items():
        for name in ("odd.jpg", "list_attr_celeba.txt", "img_align_celeba.zip"):
            yield f"{what} called {name}", _folder_with(name, make)
    yield "empty", _folder({})
    yield "system files alone", _folder(SYSTEM_FILES)
    yield "no utf-8", _folder({os.fsdecode(b"\xff\xfe.jpg"): encode(), "a.jpg": encode()})
    yield "line breaks", _folder({"a\nb.jpg": encode(), "a.jpg": encode()})
    yield "deep", _folder({"/".join("d" * 60) + "/a.jpg": encode(), "a.jpg": encode()})
    yield "archives alone", _folder({"img_align_celeba_png.7z.001": b"7z\xbc\xaf", "x.zip": b"PK"})
    yield "empty celeba", _folder({"img_align_celeba/readme.txt": b"", "a.jpg": encode()})


def _orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def _folder(files: dict[str, bytes]) -> Make:
    def make(path: Path) -> Path:
        path.mkdir()
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        return path

    return make


def _folder_with(name: str, special: Callable[[Path], object]) -> Make:
    def make(path: Path) -> Path:
        _folder({"a.jpg": encode(), "b.jpg": encode(PLAIN.rotate(90))})(path)
        special(path / name)
        return path

    return make


def _packed(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Make:
    def make(path: Path) -> Path:
        path = path.with_suffix(".zip")
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path

    return make


def _bytes_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _twice(path: Path) -> Path:
    made = _packed({"a.jpg": encode(), "b.jpg": encode()})(path)
    made.write_bytes(made.read_bytes().replace(b"b.jpg", b"a.jpg"))
    return made


def _patched(old: bytes, new: bytes, method: int = zipfile.ZIP_DEFLATED) -> Make:
    def make(path: Path) -> Path:
        made = _packed({"a.jpg": encode(), "é.jpg": encode(), "b.jpg": bytes(70_000)}, method)(path)
        made.write_bytes(made.read_bytes().replace(old, new))
        return made

    return make


def _flagged(flag: int) -> Make:
    def make(path: Path) -> Path:
        made = _packed({"a.jpg": encode(), "b.jpg": encode()})(path)
        data = bytearray(made.read_bytes())
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            start = data.find(mark)
            while start >= 0:
                data[start + offset] |= flag
                start = data.find(mark, start + 4)
        made.write_bytes(data)
        return made

    return make


def _cut(share: int) -> Make:
    def make(path: Path) -> Path:
        made = _packed({"a.jpg": encode(), "b.jpg": encode()})(path)
        data = made.read_bytes()
        made.write_bytes(data[: len(data) * share // 100])
        return made

    return make


def _written(data: bytes) -> Make:
    def make(path: Path) -> Path:
        path = path.with_suffix(".zip")
        path.write_bytes(data)
        return path

    return make


def _prefixed(path: Path) -> Path:
    made = _packed({"a.jpg": encode(), "b.jpg": encode()})(path)
    made.write_bytes(b"#!/bin/sh\n" * 9 + made.read_bytes())
    return made
