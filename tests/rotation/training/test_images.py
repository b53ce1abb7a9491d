"""Training images: who is held out, in which order, cropped how."""

import io
import logging
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from rotation.data.crop import read_crop, standard_crop
from rotation.data.sources import open_source
from rotation.diffusion.latent_model import LatentModel
from rotation.errors import DatasetError, ImageError
from rotation.synthetic_heads.renderer import render
from rotation.training.images import (
    batch_rows,
    folder_images,
    last_crops,
    split_rows,
    synthetic_images,
)
from rotation.training.previews import save_samples, save_sheet, unseen_heads
from tests.rotation.modelling import tiny_denoising


def test_no_person_is_on_both_sides():
    people = np.repeat(np.arange(40), 3)
    split = split_rows(people, 20, seed=0)
    assert 20 <= len(split.held_out) <= 22
    assert not set(people[split.train]) & set(people[split.held_out])
    together = np.sort(np.concatenate([split.train, split.held_out]))
    np.testing.assert_array_equal(together, np.arange(len(people)))


def test_images_of_unknown_people_are_held_out_one_by_one():
    split = split_rows(np.full(50, -1), 7, seed=3)
    assert len(split.held_out) == 7
    mixed = np.array([-1, 4, 4, 4, -1, -1, 4])
    for seed in range(20):
        aside = set(split_rows(mixed, 1, seed).held_out)
        assert len(aside) == 1 or aside == {1, 2, 3, 6}


def test_another_seed_holds_out_others_and_none_when_none_are_asked():
    people = np.arange(100)
    first, again, other = (split_rows(people, 10, seed).held_out for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(split_rows(people, 0, 0).held_out) == 0


@pytest.mark.parametrize(("people", "holdout"), [([1, 2], 2), ([1, 2], 5), ([1, 1, 1], 1)])
def test_a_split_that_leaves_nobody_is_refused(people, holdout):
    with pytest.raises(DatasetError):
        split_rows(np.array(people), holdout, 0)


def test_the_last_images_are_held_out_and_their_people_nowhere_else():
    people = np.array([1, 2, -1, 3, 2, 4, -1, 2, 5])
    split = split_rows(people, 3, seed=0, last=True)
    np.testing.assert_array_equal(split.held_out, [6, 7, 8])
    np.testing.assert_array_equal(split.train, [0, 2, 3, 5])
    with pytest.raises(DatasetError, match="lower --holdout"):
        split_rows(np.array([1, 2, 1, 2]), 2, seed=0, last=True)


@pytest.mark.parametrize("size", [4, 10, 25])
def test_every_epoch_has_every_image_once(size):
    rows = np.arange(100, 110)
    taken = np.concatenate([batch_rows(rows, size, step, seed=0) for step in range(20)])
    assert len(taken) == 20 * size
    for epoch in taken[: len(taken) // 10 * 10].reshape(-1, 10):
        assert sorted(epoch) == list(rows)


def test_epochs_differ_in_order():
    rows = np.arange(50)
    assert not np.array_equal(batch_rows(rows, 50, 0, 0), batch_rows(rows, 50, 1, 0))
    assert not np.array_equal(batch_rows(rows, 50, 0, 0), batch_rows(rows, 50, 0, 1))


def picture(width, height):
    """Red rises to the right, green downwards: the crop's place can be read from its colours."""
    across = np.linspace(0, 255, width)
    down = np.linspace(0, 255, height)
    pixels = np.zeros((height, width, 3))
    pixels[..., 0], pixels[..., 1] = across, down[:, None]
    return Image.fromarray(pixels.round().astype(np.uint8))


def test_whole_and_half_size_celeba_give_the_same_crop():
    whole, half = standard_crop(picture(178, 218)), standard_crop(picture(89, 109))
    assert whole.shape == half.shape == (64, 64, 3)
    assert np.abs(whole.astype(int) - half.astype(int)).max() <= 2


def test_the_crop_of_a_half_size_image_is_cut_without_resampling():
    image = picture(89, 109)
    np.testing.assert_array_equal(standard_crop(image), np.asarray(image.crop((12, 28, 76, 92))))


def test_crops_of_a_whole_image_are_means_of_two_by_two():
    image = picture(178, 218)
    box = np.asarray(image.crop((24, 56, 152, 184)), dtype=float)
    means = box.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert np.abs(standard_crop(image) - means).max() <= 1


@pytest.mark.parametrize(("width", "height"), [(64, 64), (300, 200), (50, 90)])
def test_other_images_give_their_central_square(width, height):
    crop = standard_crop(picture(width, height), 32)
    assert crop.shape == (32, 32, 3)
    for channel in range(2):
        assert abs(crop[..., channel].mean() - 127.5) < 2
    sides = [np.ptp(crop[..., channel]) for channel in range(2)]
    share = min(width, height) / np.array([width, height])
    assert np.abs(sides - 255 * share).max() < 16


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_odd_modes_become_rgb(mode):
    crop = standard_crop(picture(89, 109).convert(mode))
    assert crop.shape == (64, 64, 3)
    assert crop.dtype == np.uint8


@pytest.mark.parametrize("size", [(1, 1), (15, 200), (200, 15)])
def test_tiny_images_are_refused_with_their_size(size):
    with pytest.raises(ImageError, match=f"{size[0]}x{size[1]}"):
        standard_crop(Image.new("RGB", size))


def jpeg(image):
    data = io.BytesIO()
    image.save(data, "JPEG", quality=95)
    return data.getvalue()


@pytest.fixture
def celeba(tmp_path):
    """CelebA as distributed: six good files of three people, one empty, one cut short."""
    root = tmp_path / "celeba"
    root.mkdir()
    with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as archive:
        for number in range(1, 7):
            shade = Image.new("RGB", (178, 218), (number * 40, 0, 0))
            archive.writestr(f"img_align_celeba/{number:06d}.jpg", jpeg(shade))
        archive.writestr("img_align_celeba/000007.jpg", b"")
        archive.writestr("img_align_celeba/000008.jpg", jpeg(picture(178, 218))[:700])
    lines = [f"{number:06d}.jpg {(number + 1) // 2}" for number in range(1, 9)]
    (root / "identity_CelebA.txt").write_text("\n".join(lines))
    return root


def test_celeba_is_cropped_with_its_people_and_without_its_broken_files(celeba, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        images = folder_images(celeba, tmp_path / "cache")
    assert images.pixels.shape == (6, 3, 64, 64)
    np.testing.assert_array_equal(images.people, [1, 1, 2, 2, 3, 3])
    reds = images.pixels[:, 0].float().mean(dim=(1, 2)).numpy()
    np.testing.assert_allclose(reds, [40, 80, 120, 160, 200, 240], atol=2)
    assert "000007.jpg" in caplog.text
    assert "000008.jpg" in caplog.text


def test_crops_are_made_once(celeba, tmp_path):
    folder_images(celeba, tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("*.npy")
    made = file.stat().st_mtime_ns
    again = folder_images(celeba, tmp_path / "cache")
    assert len(again) == 6
    assert file.stat().st_mtime_ns == made


@pytest.fixture
def odd_files(tmp_path):
    """Files whose bytes are easily misread: turned by EXIF, half transparent, 16 bits deep."""
    root = tmp_path / "odd"
    root.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    picture(120, 80).save(root / "turned.jpg", exif=exif, quality=95)
    clear = np.zeros((70, 70, 4), dtype=np.uint8)
    clear[:35] = (200, 40, 10, 255)
    Image.fromarray(clear).save(root / "clear.png")
    grey = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(grey).save(root / "deep.png")
    return root


def test_training_sees_every_image_as_the_engine_does(odd_files, tmp_path):
    images = folder_images(odd_files, tmp_path / "cache", 32)
    with open_source(odd_files) as source:
        seen = np.stack([read_crop(source, name, 32) for name in source.names()])
    np.testing.assert_array_equal(images.pixels.permute(0, 2, 3, 1).numpy(), seen)
    last = last_crops(odd_files, 3, 32).permute(0, 2, 3, 1).numpy() * 255
    np.testing.assert_array_equal(last.round().astype(np.uint8), seen)
    clear, deep, turned = images.pixels.float()
    assert clear[:, 16:].mean() == pytest.approx(128, abs=1)
    assert deep.mean() == pytest.approx(128, abs=1)
    red = turned[0].numpy()
    assert np.ptp(red.mean(axis=1)) > 100 > np.ptp(red.mean(axis=0))  # rises downwards, upright


@pytest.mark.parametrize("zipped", [False, True])
def test_a_replaced_image_is_cropped_anew_and_the_others_are_not(tmp_path, zipped):
    root, cache = tmp_path / "photos", tmp_path / "cache"
    shades = {"a.png": 10, "b.png": 100, "c.png": 200}
    write_shades(root, shades, zipped)
    assert shades_seen(root, cache, zipped) == [10, 100, 200]
    (file,) = cache.glob("*.npy")
    np.load(file, mmap_mode="r+")[0] = 77  # a mark that only a crop taken from the cache has
    write_shades(root, {**shades, "b.png": 101}, zipped)
    assert shades_seen(root, cache, zipped) == [77, 101, 200]
    write_shades(root, {"a.png": 10, "c.png": 200, "d.png": 50}, zipped)
    assert shades_seen(root, cache, zipped) == [77, 200, 50]


def shades_seen(root, cache, zipped):
    images = folder_images(root / "photos.zip" if zipped else root, cache, 16)
    return images.pixels.float().mean(dim=(1, 2, 3)).tolist()


def write_shades(root, shades, zipped):
    """Grey images of equal size in a folder or zip; those of before are gone."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, shade in shades.items():
        Image.new("RGB", (20, 20), (shade, shade, shade)).save(root / name)
    if zipped:
        with zipfile.ZipFile(root / "photos.zip", "w") as archive:
            for name in shades:
                archive.write(root / name, name)


def test_a_crop_cache_that_a_crash_left_without_its_listing_is_made_anew(celeba, tmp_path):
    cache = tmp_path / "cache"
    before = folder_images(celeba, cache).pixels.clone()
    (listing,) = cache.glob("*.json")
    for torn in (None, "", "[1"):
        listing.unlink() if torn is None else listing.write_text(torn)
        np.testing.assert_array_equal(folder_images(celeba, cache).pixels, before)


def test_the_last_crops_are_those_of_the_last_images_that_can_be_read(celeba):
    crops = last_crops(celeba, 3, size=32)
    assert crops.shape == (3, 3, 32, 32)
    np.testing.assert_allclose(crops[:, 0].mean(dim=(1, 2)) * 255, [160, 200, 240], atol=2)
    assert len(last_crops(celeba, 100)) == 6


def test_a_zip_alone_has_images_of_unknown_people(celeba, tmp_path):
    (celeba / "identity_CelebA.txt").unlink()
    images = folder_images(celeba / "img_align_celeba.zip", tmp_path / "cache")
    np.testing.assert_array_equal(images.people, [-1] * 6)


def test_a_folder_of_broken_files_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="none of the 1 images"):
        folder_images(tmp_path / "photos", tmp_path / "cache")


def test_synthetic_heads_are_the_same_however_many(tmp_path):
    few = synthetic_images(3, tmp_path, 32, workers=1)
    more = synthetic_images(5, tmp_path, 32, workers=2)
    np.testing.assert_array_equal(few.pixels, more.pixels[:3])
    np.testing.assert_array_equal(more.people, np.arange(5))
    assert len({image.numpy().tobytes() for image in more.pixels}) == 5
    again = synthetic_images(5, tmp_path, 32)
    np.testing.assert_array_equal(again.pixels, more.pixels)


def test_unseen_heads_are_those_of_the_benchmarks():
    from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads

    heads = sample_heads(2, seed=1, first_identity=BENCHMARK_IDENTITY)
    expected = render(heads, 32).transpose(0, 3, 1, 2) / np.float32(255)
    np.testing.assert_allclose(unseen_heads(2, 32).numpy(), expected, atol=1e-6)


def test_a_sheet_of_few_samples_is_no_wider_than_they_are(tmp_path):
    save_samples(LatentModel(tiny_denoising(), steps=2), tmp_path / "sheet.png", count=3)
    with Image.open(tmp_path / "sheet.png") as sheet:
        width, height = sheet.size
    assert width - 2 == 3 * (height - 2)


def test_sheets_hold_their_images_in_rows(tmp_path):
    images = unseen_heads(3, 16)
    save_sheet(images, tmp_path / "sub" / "sheet.png", columns=2, gap=2)
    sheet = np.asarray(Image.open(tmp_path / "sub" / "sheet.png"))
    assert sheet.shape == (2 * 18 + 2, 2 * 18 + 2, 3)
    for image, (top, left) in zip(images, [(2, 2), (2, 20), (20, 2)], strict=True):
        pixels = (image.permute(1, 2, 0).numpy() * 255).round()
        np.testing.assert_array_equal(sheet[top : top + 16, left : left + 16], pixels)
