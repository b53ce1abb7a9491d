"""What a picture of a synthetic head must obey, seen from outside."""

from dataclasses import replace

import numpy as np
import pytest

from rotation.synthetic_heads.marks import landmarks
from rotation.synthetic_heads.parameters import Head, Scene, light_class, mirror
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import (
    BENCHMARK_IDENTITY,
    pose_head,
    sample_heads,
    sample_identity,
)

GREY = (0.5, 0.5, 0.5)


def portrait(person: int, **scene: float) -> Head:
    """A person before a grey wall, in frontal pose and light unless told otherwise."""
    return pose_head(
        sample_identity(person), Scene(background_left=GREY, background_right=GREY, **scene)
    )


def brightness(pictures: np.ndarray) -> np.ndarray:
    return pictures.astype(float).mean(axis=-1)


def changed(one: Head, other: Head, size: int = 64) -> np.ndarray:
    """Where two pictures differ, (size, size)."""
    a, b = render([one, other], size).astype(int)
    return np.abs(a - b).max(axis=-1) > 24


def centre(mask: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return columns.mean() + 0.5, rows.mean() + 0.5


def test_pictures_are_rgb_bytes_of_the_size_asked_for():
    heads = sample_heads(2, seed=0)
    assert render(heads).shape == (2, 64, 64, 3)
    assert render(heads, 40).shape == (2, 40, 40, 3)
    assert render(heads).dtype == np.uint8
    assert render([]).shape == (0, 64, 64, 3)


def test_a_picture_depends_on_its_head_alone():
    heads = sample_heads(5, seed=3)
    together = render(heads)
    alone = np.concatenate([render([head]) for head in reversed(heads)])[::-1]
    assert np.array_equal(together, alone)


def test_samples_depend_on_seed_and_place_only():
    assert sample_heads(6, seed=1)[:4] == sample_heads(4, seed=1)
    assert sample_heads(4, seed=1) != sample_heads(4, seed=2)
    first, second, third = sample_heads(3, seed=1, first_identity=10, images_per_identity=2)
    assert first.identity == second.identity == sample_identity(10)
    assert third.identity == sample_identity(11)
    assert first.yaw_deg != second.yaw_deg


def test_benchmark_people_are_not_training_people():
    training = {sample_identity(k) for k in range(200)}
    assert all(head.identity not in training for head in sample_heads(50, 0, BENCHMARK_IDENTITY))


def test_people_do_not_differ_in_what_cannot_be_seen():
    people = [sample_identity(k) for k in range(300)]
    assert len({p.frame for p in people if not p.glasses}) == 1
    assert len({(p.hair, p.hair_part, p.hair_length) for p in people if not p.hair_volume}) == 1
    assert len({p.frame for p in people if p.glasses}) > 10


def test_sampled_yaws_fill_the_range_and_all_light_classes_occur():
    heads = sample_heads(300, seed=5, yaw_range=(-30, 30))
    yaws = np.array([head.yaw_deg for head in heads])
    assert yaws.min() < -27
    assert yaws.max() > 27
    assert np.abs(yaws).max() <= 30
    lights = [light_class(head.light_azimuth_deg) for head in heads]
    assert all(lights.count(name) > 25 for name in ("left", "center", "right", "boundary"))


@pytest.mark.parametrize(
    "wrong",
    [{"n": -1}, {"seed": -1}, {"first_identity": -1}, {"yaw_range": (10, -10)}],
)
def test_senseless_samples_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        sample_heads(**({"n": 1, "seed": 0} | wrong))


@pytest.mark.parametrize(
    ("azimuth", "name"),
    [
        (35, "left"),
        (80, "left"),
        (-35, "right"),
        (0, "center"),
        (10, "center"),
        (-10, "center"),
        (34.9, "boundary"),
        (-11, "boundary"),
    ],
)
def test_light_class_of_an_azimuth(azimuth, name):
    assert light_class(azimuth) == name


def test_the_mirrored_head_gives_the_flipped_picture():
    heads = sample_heads(24, seed=7)
    straight = render(heads).astype(int)
    mirrored = render([mirror(head) for head in heads])[:, :, ::-1].astype(int)
    assert np.abs(straight - mirrored).max() <= 1


def test_the_mirror_changes_the_picture_and_undoes_itself():
    head = portrait(0, yaw_deg=25.0, light_azimuth_deg=50.0)
    assert mirror(mirror(head)) == head
    assert np.abs(render([head]).astype(int) - render([mirror(head)])).mean() > 5


def test_the_mirrors_landmarks_are_the_flipped_landmarks():
    heads = sample_heads(10, seed=7)
    flipped = landmarks([mirror(head) for head in heads])[:, [1, 0, 2, 4, 3]]
    flipped[..., 0] = 64 - flipped[..., 0]
    assert np.allclose(landmarks(heads), flipped, atol=1e-3)


@pytest.mark.parametrize("person", range(6))
def test_light_from_the_left_brightens_the_left_half(person):
    faces = render([portrait(person, light_azimuth_deg=a) for a in (60.0, 0.0, -60.0)])
    face = brightness(faces)[:, 16:56, 12:52]
    left, center, right = face[:, :, :20].mean((1, 2)) - face[:, :, 20:].mean((1, 2))
    assert left > 15
    assert right < -15
    assert abs(center) < 6


def test_light_from_above_brightens_the_forehead():
    low, high = brightness(
        render([portrait(5, light_elevation_deg=e, light_strength=1.0) for e in (-30.0, 45.0)])
    )
    assert (high[12:18, 24:40] - low[12:18, 24:40]).mean() > (high - low)[52:58, 24:40].mean() + 10


def test_the_nose_casts_a_shadow_away_from_the_lamp():
    lit = brightness(render([portrait(3, light_azimuth_deg=65.0, light_strength=1.0)]))[0]
    flat = brightness(render([portrait(3, light_azimuth_deg=0.0, light_strength=1.0)]))[0]
    x, y = landmarks([portrait(3)])[0, 2].astype(int)
    loss = (flat - lit)[y - 4 : y]
    assert loss[:, x + 2 : x + 7].mean() > loss[:, x - 7 : x - 2].mean() + 20


def test_landmarks_lie_on_what_they_name():
    head = portrait(0, yaw_deg=18.0, pitch_deg=6.0)
    points = landmarks([head], 128)[0]
    iris = replace(head, identity=replace(head.identity, iris=(0.0, 1.0, 0.0)))
    eyes = changed(head, iris, 128)
    split = int(points[2, 0])
    left, right = eyes.copy(), eyes.copy()
    left[:, split:], right[:, :split] = False, False
    assert np.allclose(centre(left), points[0], atol=2.5)
    assert np.allclose(centre(right), points[1], atol=2.5)


def test_mouth_corners_are_the_ends_of_the_lips():
    head = portrait(0, smile=0.3)
    green = replace(head, identity=replace(head.identity, lips=(0.0, 1.0, 0.0)))
    columns = np.flatnonzero(changed(head, green, 256).any(axis=0))
    corners = landmarks([head], 256)[0, 3:, 0]
    assert np.allclose([columns[0], columns[-1] + 1], corners, atol=8)


def test_landmark_order_is_celebas_with_the_viewers_left_first():
    left_eye, right_eye, nose, left_mouth, right_mouth = landmarks([portrait(2)])[0]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert left_eye[1] < nose[1] < left_mouth[1]


def test_yaw_turns_the_nose_to_the_viewers_right():
    heads = [portrait(1, yaw_deg=float(yaw)) for yaw in range(-45, 46, 5)]
    points = landmarks(heads)
    assert (np.diff(points[:, 2, 0]) > 0.5).all()
    middle = points[:, :2, 0].mean(axis=1)
    assert (np.diff(points[:, 2, 0] - middle) > 0).all()


def test_pitch_lifts_the_nose_and_roll_is_clockwise():
    level, up, rolled = landmarks(
        [portrait(1), portrait(1, pitch_deg=10.0), portrait(1, roll_deg=10.0)]
    )[:, :3]
    assert up[2, 1] < level[2, 1] - 1
    assert rolled[1, 1] > level[1, 1] + 1
    assert rolled[0, 1] < level[0, 1] - 1


def test_the_far_eye_is_foreshortened():
    bare = replace(sample_identity(1), hair_length=0.0, hair_volume=0.0, glasses=0.0, beard=0.0)
    head = replace(portrait(1, yaw_deg=40.0), identity=bare)
    green = replace(head, identity=replace(bare, iris=(0.0, 1.0, 0.0)))
    columns = np.flatnonzero(changed(head, green, 256).any(axis=0))
    gap = int(np.argmax(np.diff(columns)))
    assert columns[-1] - columns[gap + 1] < columns[gap] - columns[0]


def test_the_far_eye_is_hidden_in_profile():
    bare = replace(sample_identity(8), hair_length=0.0, glasses=0.0, nose_height=1.25)
    areas = []
    for yaw in (0.0, 75.0):
        head = replace(portrait(8, yaw_deg=yaw), identity=bare)
        green = replace(head, identity=replace(bare, iris=(0.0, 1.0, 0.0)))
        mask = changed(head, green, 128)
        edge = int(landmarks([head], 128)[0, :2, 0].mean())
        areas.append((mask[:, edge:].sum(), mask[:, :edge].sum()))
    (far_front, near_front), (far_side, near_side) = areas
    assert far_front == pytest.approx(near_front, rel=0.2)
    assert near_side > 0
    assert far_side == 0


def test_turning_shows_the_near_ear_behind_its_sideburn_and_hides_the_far_one():
    short = {"hair": (0.0, 0.0, 1.0), "hair_length": 0.0, "hair_sides": -0.28, "glasses": 0.0}
    head = replace(portrait(1), identity=replace(sample_identity(1), **short))
    assert count_skin_runs(head) == 1, "ears beside the face"
    assert count_skin_runs(replace(head, yaw_deg=40.0)) == 2, "hair, ear, hair, face: no second ear"
    assert count_skin_runs(replace(head, yaw_deg=-40.0)) == 2


def count_skin_runs(head: Head) -> int:
    """How often blue hair or the wall gives way to skin, from left to right at the ears' height."""
    row = render([head], 128)[0, 58].astype(int)
    skin = row[:, 0] > row[:, 2] + 15
    return int((np.diff(skin.astype(int)) == 1).sum())


def test_the_background_stays_while_the_head_turns():
    turned = render([portrait(6, yaw_deg=yaw) for yaw in (-40.0, 0.0, 40.0)]).astype(int)
    assert (turned[:, :8, :2] == turned[:1, :8, :2]).all()


def test_a_smile_lifts_the_corners_and_shows_teeth():
    calm, glad = portrait(5, smile=0.0), portrait(5, smile=1.0)
    low, high = landmarks([calm, glad])[:, 3:, 1].mean(axis=1)
    assert high < low - 1
    x, y = landmarks([glad])[0, 3:].mean(axis=0).astype(int)
    mouth = brightness(render([calm, glad]))[:, y : y + 5, x - 3 : x + 4]
    assert mouth[1].max() > mouth[0].max() + 30
