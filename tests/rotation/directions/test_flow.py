"""The flow of yaw: found again where it is known, there and back, mirrored, refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from rotation.clusters.selection import ClusterMembers, Selection
from rotation.data.crop import Pixels
from rotation.diffusion.latent_model import LatentModel
from rotation.directions.direction import Direction
from rotation.directions.flow import GRID, ORDERS, Flow, fit_flow
from rotation.editing.flow_editing import FlowEditing, fit_yaw_scale, leave_remainder, scale_yaw
from rotation.editing.method import EditedFrames, EditRequest
from rotation.errors import SelectionError
from rotation.imaging.images import to_pixels
from rotation.latents.encoders import Latents
from rotation.options import EditingOptions
from rotation.poses.mtcnn import LandmarkDetector
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads
from tests.rotation.modelling import SIZE, tiny_folder

YAWS = (-20.0, -10.0, 0.0, 10.0, 20.0)


def bulge(side: int = GRID) -> Flow:
    """A head: what is in the middle moves across, what is at the rim stays; a little slant."""
    at = torch.linspace(-1, 1, side)
    depth = 0.35 * torch.exp(-2 * (at[:, None] ** 2 + at[None] ** 2))
    across = torch.stack([depth, 0.1 * depth.flip(0), torch.zeros_like(depth)])
    along = torch.zeros(ORDERS, 3)
    along[0, 1] = 0.05
    return Flow(across, along)


def texture(seed: int = 0, side: int = 64) -> Pixels:
    """A picture (S, S, 3) of smooth spots."""
    noise = np.random.default_rng(seed).standard_normal((side, side, 3))
    spots = gaussian_filter(noise, (side / 24, side / 24, 0))
    scaled = (spots - spots.min()) / (spots.max() - spots.min())
    return (scaled * 255).astype(np.uint8)


def as_tensor(pictures: Pixels) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(pictures, -1, 1).astype(np.float32) / 255)


def seen_at(flow: Flow, picture: Pixels, yaws: tuple[float, ...]) -> Pixels:
    """The picture at yaw 0 as it looks at each of `yaws`."""
    wide = as_tensor(picture[None]).expand(len(yaws), -1, -1, -1)
    return to_pixels(flow.warp(wide, [0.0] * len(yaws), yaws).clamp(0, 1).numpy())


def error(first: Pixels, second: Pixels) -> float:
    """Mean square difference inside, where nothing comes in over the edge."""
    edge = first.shape[-2] // 5
    inner = np.s_[..., edge:-edge, edge:-edge, :]
    return float(np.square(first[inner].astype(float) - second[inner]).mean())


def test_a_known_flow_is_found_again() -> None:
    views = seen_at(bulge(), texture(), YAWS)
    found = fit_flow(views, YAWS, [100] * len(YAWS))
    carried = seen_at(found, views[2], YAWS)
    for k in (0, 4):
        assert error(carried[k], views[k]) < 0.1 * error(views[2], views[k])
    other = texture(seed=1)  # the flow is the head's, not the picture's
    known = seen_at(bulge(), other, YAWS)
    assert error(seen_at(found, other, YAWS)[4], known[4]) < 0.2 * error(other, known[4])


def test_light_that_changes_between_clusters_is_no_flow() -> None:
    """Even contrast: a shade that falls over the last pictures moves nothing."""
    views = seen_at(bulge(), texture(), YAWS).astype(float)
    views[3:] *= np.linspace(1, 0.4, 64)[:, None]
    found = fit_flow(views.astype(np.uint8), YAWS, [100] * len(YAWS))
    plain = seen_at(bulge(), texture(), YAWS)
    assert error(seen_at(found, plain[2], YAWS)[4], plain[4]) < 0.3 * error(plain[2], plain[4])


def test_there_and_back_is_where_it_began() -> None:
    flow, picture = bulge(), as_tensor(gaussian_filter(texture(), (2, 2, 0))[None])
    back = flow.warp(flow.warp(picture, [0], [20]), [20], [0])
    inside = (back - picture)[..., 12:-12, 12:-12]
    assert float(inside.abs().max()) < 0.03
    same = flow.warp(picture, [10], [10])
    torch.testing.assert_close(same, picture, atol=1e-5, rtol=0)


def test_a_mirror_turns_the_flow_round() -> None:
    flow, picture = bulge(), as_tensor(texture()[None])
    carried = flow.mirrored().warp(picture.flip(-1), [5], [-20]).flip(-1)
    torch.testing.assert_close(carried, flow.warp(picture, [-5], [20]), atol=1e-5, rtol=0)
    again = flow.mirrored().mirrored()
    assert torch.equal(again.across, flow.across)
    assert torch.equal(again.along, flow.along)


def test_mirrored_clusters_give_the_mirrored_flow() -> None:
    views = seen_at(bulge(), texture(), YAWS)
    found = fit_flow(views, YAWS, [100] * len(YAWS))
    mirrored = fit_flow(views[::-1, :, ::-1].copy(), YAWS, [100] * len(YAWS)).mirrored()
    torch.testing.assert_close(mirrored.across, found.across, atol=1e-5, rtol=0)


def test_a_flow_is_kept_as_a_row_of_numbers() -> None:
    flow = bulge()
    again = Flow.of(flow.numbers())
    assert torch.equal(again.across, flow.across)
    assert torch.equal(again.along, flow.along)
    slopes = np.ones(12, np.float32)
    turned = Direction(slopes, -slopes, 0.1, 0.2, flow.numbers()).mirrored((3, 2, 2))
    assert turned.flow is not None
    assert np.array_equal(turned.flow, flow.mirrored().numbers())


def test_a_slow_flow_with_a_great_yaw_scale_turns_as_far() -> None:
    steady = Flow(bulge().across * torch.tensor([1.0, 0.0, 0.0])[:, None, None], bulge().along)
    slow = Flow(steady.across * 0.8, steady.along * 0.8, torch.tensor([1.25]))
    picture = texture()
    assert (
        np.abs(seen_at(slow, picture, YAWS).astype(int) - seen_at(steady, picture, YAWS)).max() < 3
    )
    unscaled = Flow(slow.across, slow.along)
    assert error(seen_at(unscaled, picture, YAWS)[4], seen_at(steady, picture, YAWS)[4]) > 10


def test_a_row_of_numbers_without_a_yaw_scale_is_read() -> None:
    old = Flow.of(bulge().numbers()[:-1])
    assert torch.equal(old.across, bulge().across)
    assert old.yaw_scale.tolist() == [1.0]


@pytest.mark.slow
def test_warped_heads_turn_as_far_as_asked() -> None:
    """A flow that lost a quarter, of rendered heads: the yaw scale of others brings it back."""
    yaws, each = tuple(float(yaw) for yaw in range(-30, 31, 10)), 16
    people = sample_heads(each, seed=3, first_identity=BENCHMARK_IDENTITY)
    heads = [replace(head, yaw_deg=yaw, pitch_deg=0.0) for yaw in yaws for head in people]
    crops = dict(enumerate(render(heads)))
    selection = chosen(yaws, each)
    means = [np.mean([crops[r] for r in c.rows.tolist()], axis=0) for c in selection.clusters]
    flow = fit_flow(np.array(means, dtype=np.uint8), yaws, [each] * len(yaws))
    slow = Flow(0.75 * flow.across, 0.75 * flow.along)
    fresh = sample_heads(12, seed=4, first_identity=BENCHMARK_IDENTITY + 100)
    faces = as_tensor(render([replace(head, yaw_deg=0.0, pitch_deg=0.0) for head in fresh]))
    for used, fast in ((flow, 1.0), (slow, 0.75)):
        scaled = scale_yaw(used, selection, crops, "cpu")
        assert float(scaled.yaw_scale) * fast == pytest.approx(1, abs=0.15)
        for asked in (-30.0, -15.0, 15.0, 30.0):
            turned = scaled.warp(faces, [0.0] * 12, [asked] * 12).clamp(0, 1)
            assert abs(np.median(read_yaws(turned)) - asked) < 2.5
    turned = slow.warp(faces, [0.0] * 12, [30.0] * 12).clamp(0, 1)
    assert np.median(read_yaws(turned)) < 25


def read_yaws(pictures: torch.Tensor) -> NDArray[np.float64]:
    return LandmarkDetector().estimate_crops(to_pixels(pictures.numpy())).yaw_deg


def test_pictures_without_faces_leave_the_yaw_scale() -> None:
    crops = {row: texture(row) for row in range(6)}
    flow = scale_yaw(bulge(), chosen((-10.0, 0.0, 10.0), 2), crops, "cpu")
    assert flow.yaw_scale.tolist() == [1.0]


def test_beyond_the_clusters_the_pace_stays() -> None:
    """Powers of yaw run away; a turn from 40 to 80 degrees goes as far as the last ones did."""
    flow = Flow(torch.zeros(ORDERS, GRID, GRID), torch.zeros(ORDERS, 3))
    flow.across[2] = 0.1
    ends = [flow.origins(torch.tensor([a]), torch.tensor([b]), 4) for a, b in ((40.0, 80.0),)]
    still = flow.origins(torch.tensor([0.0]), torch.tensor([0.0]), 4)
    moved = (ends[0] - still)[..., 0].mean()
    assert float(moved) == pytest.approx(-0.1 * (40 / 30) ** 3, rel=1e-3)


def test_clusters_without_neighbours_are_refused() -> None:
    with pytest.raises(SelectionError, match="at most 15 degrees apart"):
        fit_flow(np.stack([texture(), texture(1)]), (-20, 20), (10, 10))


def chosen(yaws: tuple[float, ...], each: int) -> Selection:
    """Clusters of `each` members at exactly these yaws."""
    rows = np.arange(len(yaws) * each).reshape(len(yaws), each)
    clusters = tuple(
        ClusterMembers(row, np.zeros(each, dtype=bool), np.full(each, yaw))
        for row, yaw in zip(rows, yaws, strict=True)
    )
    return Selection(yaws, clusters, (), (), (5.0,) * len(yaws), 5.0)


def test_what_flows_leaves_no_remainder_and_what_does_not_stays() -> None:
    flow, selection = bulge(), chosen(YAWS, 2)
    head = as_tensor(texture(side=SIZE)[None])
    carried = flow.warp(head.expand(5, -1, -1, -1), [0.0] * 5, YAWS).numpy()
    latents: Latents = np.repeat(carried, 2, axis=0)
    latents += np.repeat(0.01 * np.array(YAWS, np.float32), 2)[:, None, None, None]
    left = leave_remainder(latents, selection, flow)
    expected = np.repeat(0.01 * np.array(YAWS), 2)[:, None, None, None] * np.ones_like(latents)
    np.testing.assert_allclose(left, expected, atol=1e-5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LatentModel:
    return LatentModel.load(tiny_folder(tmp_path_factory.mktemp("model") / "tiny"), device="cpu")


def edited(
    model: LatentModel, crop: Pixels, direction: Direction, yaws: tuple[float, ...], detail: float
) -> EditedFrames:
    """A face at 5 degrees, edited along its flow with all of the remainder."""
    options = EditingOptions("flow", gain=1.0, detail=detail)
    return FlowEditing().edit(EditRequest(model, crop, 5.0, yaws, direction, options, "cpu"))


def test_detail_is_what_embedding_loses(model: LatentModel) -> None:
    """All of it given back and nothing moved: the carried picture itself, the source at its yaw."""
    zero = np.zeros(3 * SIZE**2, np.float32)
    direction = Direction(zero, zero, 0.0, 0.0, bulge().numbers())
    crop, yaws = texture(side=SIZE), (-20.0, 5.0)
    turned = edited(model, crop, direction, yaws, detail=1.0)
    assert np.abs(turned.reconstruction.astype(int) - crop).max() <= 1
    assert np.abs(turned.frames[1].astype(int) - crop).max() <= 1
    assert turned.latents.warped is not None
    assert np.abs(turned.frames.astype(int) - turned.latents.warped).max() <= 1
    assert error(turned.frames[:1], crop[None]) > 10
    plain = edited(model, crop, direction, yaws, detail=0.0)
    assert error(plain.frames, turned.latents.warped) > error(turned.frames, turned.latents.warped)


def test_a_yaw_scale_is_found_again() -> None:
    read = np.linspace(-35, 35, 15)
    warped = 1.2 * read
    assert fit_yaw_scale(warped, read, 40.0) == pytest.approx(1.2)
    assert fit_yaw_scale(-warped[::-1], -read[::-1], 40.0) == pytest.approx(1.2)
    torn = np.where(np.abs(read) > 30, np.sign(read) * 31, read)
    assert fit_yaw_scale(warped, torn, 30.0) == pytest.approx(1.2)


def test_a_yaw_scale_needs_readings_that_make_sense() -> None:
    warped = np.linspace(-40, 40, 9)
    assert fit_yaw_scale(warped, warped, 10.0) is None
    assert fit_yaw_scale(warped, np.full(9, np.nan), 40.0) is None
    assert fit_yaw_scale(warped, 0.1 * warped, 40.0) is None
    assert fit_yaw_scale(warped, -warped, 40.0) is None
