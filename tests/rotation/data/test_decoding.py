"""Every way of storing a picture becomes the same RGB, and every broken file a clear error."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from rotation.data import decoding
from rotation.data.decoding import BACKGROUND, MAX_PIXELS, decode
from rotation.errors import ImageError

WIDTH, HEIGHT = 12, 8


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def grey() -> np.ndarray:
    """(HEIGHT, WIDTH) uint8: dark at the left, light at the right, from 0 to 255."""
    return np.tile(np.linspace(0, 255, WIDTH).round().astype(np.uint8), (HEIGHT, 1))


def as_array(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_lossless_formats_keep_every_pixel(grey: np.ndarray, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(Image.fromarray(grey).convert("RGB" if kind != "GIF" else "L"), kind, **options)
    image = decode(data, "x")
    assert image.mode == "RGB"
    assert (as_array(image) == grey[:, :, None]).all()


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "RGB"])
def test_modes_become_rgb(grey: np.ndarray, mode: str) -> None:
    values = np.where(grey > 127, 255, 0).astype(np.uint8)
    image = decode(encode(Image.fromarray(values).convert(mode), "PNG"), "x")
    assert (image.mode, image.size) == ("RGB", (WIDTH, HEIGHT))
    assert (as_array(image) == values[:, :, None]).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(grey: np.ndarray, kind: str) -> None:
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert (as_array(decode(encode(deep, kind), "x")) == grey[:, :, None]).all()


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floats_are_scaled_by_their_range(grey: np.ndarray, white: float) -> None:
    floats = Image.fromarray((grey / 255.0 * white).astype(np.float32))
    assert (as_array(decode(encode(floats, "TIFF"), "x")) == grey[:, :, None]).all()


def test_cmyk_is_converted(grey: np.ndarray) -> None:
    data = encode(Image.fromarray(grey).convert("CMYK"), "JPEG", quality=100)
    image = decode(data, "x")
    assert image.mode == "RGB"
    assert np.abs(as_array(image) - grey[:, :, None]).max() <= 6


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_the_exif_orientation_is_applied(grey: np.ndarray, orientation: int, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encode(Image.fromarray(grey), "PNG", exif=exif), "x")
    assert (as_array(image)[:, :, 0] == np.rot90(grey, turn)).all()


def test_a_mirrored_exif_orientation_is_applied(grey: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 2
    image = decode(encode(Image.fromarray(grey), "PNG", exif=exif), "x")
    assert (as_array(image)[:, :, 0] == grey[:, ::-1]).all()


def test_transparency_lies_over_mid_grey(grey: np.ndarray) -> None:
    clear = Image.merge("LA", [Image.fromarray(grey), Image.new("L", (WIDTH, HEIGHT), 0)])
    assert (as_array(decode(encode(clear, "PNG"), "x")) == BACKGROUND).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"face\.jpg: the file is empty \(0 bytes\)"),
        (b"hello, this is no image", r"face\.jpg: not an image"),
        (b"\xff\xd8\xff", r"face\.jpg: "),
    ],
)
def test_what_is_no_image_is_named(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        decode(data, "face.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_never_passes(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    data = encode(image if kind != "GIF" else image.convert("P"), kind)
    with pytest.raises(ImageError, match=r"face\.img"):
        decode(data[: int(len(data) * share)], "face.img")


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    side = int(MAX_PIXELS**0.5) + 1

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match=r"bomb\.png: .*too many"):
        decode(b"\x89PNG\r\n\x1a\n" + header + body, "bomb.png")


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F", "RGBA", "LA", "P", "CMYK", "1"])
def test_strips_do_not_change_an_image(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    if mode in ("I;16", "I;16B", "I", "F"):
        kind = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4", "F": "<f4"}[mode]
        image = Image.fromarray(rng.integers(0, 65536, (97, 31)).astype(kind))
    else:
        image = Image.fromarray(rng.integers(0, 256, (97, 31, 4)).astype(np.uint8), "RGBA")
        if mode == "P":
            image = image.convert("RGB").quantize(50)
            image.info["transparency"] = 3
        elif mode != "RGBA":
            image = image.convert("RGB" if mode in ("CMYK", "1") else mode).convert(mode)
    data = encode(image, "PNG" if mode in ("P", "RGBA", "LA", "1", "I;16") else "TIFF")
    whole = as_array(decode(data, "x"))
    monkeypatch.setattr(decoding, "STRIP_PIXELS", 31 * 10)
    assert (as_array(decode(data, "x")) == whole).all()
