"""What the benchmark keeps, turns and measures, with a way and readings of known answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

for needed in ("dlib", "ai_edge_litert"):
    pytest.importorskip(needed, reason="needs `make judge`")

from _photographs import Photograph  # noqa: E402 - after the check of what is installed
from turned_photographs import YAWS, kept, measure, summarise, turn_all  # noqa: E402


class Marking:
    """A way that writes the yaw asked for into its frames."""

    def __init__(self, yaw: float) -> None:
        self._yaw = yaw

    def yaw(self, photograph: Photograph) -> float:
        return self._yaw

    def turn(self, photograph: Photograph, yaws_deg: Sequence[float]) -> np.ndarray:
        return np.stack([np.full((4, 6, 3), 100 + yaw, dtype=np.uint8) for yaw in yaws_deg])


def look(yaws: Sequence[float], person: int, own: float = 0.1) -> dict[str, np.ndarray]:
    """What judges see of one person: frames at `yaws`, at a distance of `own` from the source."""
    source = np.zeros(128)
    source[person] = 1
    frames = np.repeat(source[None], len(yaws), axis=0)
    frames[:, 100] = own
    return {
        "yaws": np.array([yaws, yaws], dtype=float),
        "descriptors": frames,
        "source_descriptor": source,
        "light": np.array([1] * (len(yaws) + 1)),
        "contrast": np.linspace(0, 0.05, len(yaws)),
        "sharpness": np.full(len(yaws), 0.9),
        "back": np.array([31.0, 29.0]),
    }


def test_what_was_made_is_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.npz"
    assert kept(path, lambda: {"x": np.arange(3)})["x"].tolist() == [0, 1, 2]
    assert kept(path, lambda: pytest.fail("made twice"))["x"].tolist() == [0, 1, 2]


def test_a_crash_leaves_nothing_that_would_be_taken_for_a_result(tmp_path: Path) -> None:
    def fall() -> dict:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "b.npz", fall)
    assert kept(tmp_path / "b.npz", lambda: {"x": np.array(7)})["x"] == 7


def test_a_head_is_turned_to_every_yaw_and_to_both_sides_and_back() -> None:
    photograph = Photograph("", "", np.zeros((4, 6, 3), dtype=np.uint8), (0, 0, 6, 4))
    strip = turn_all(Marking(10.0), photograph)
    assert strip["frames"][:, 0, 0, 0].tolist() == [100 + yaw for yaw in YAWS]
    assert strip["back"][:, 0, 0, 0].tolist() == [110, 110]


def test_turns_beyond_the_bound_are_left_out() -> None:
    photograph = Photograph("", "", np.zeros((4, 6, 3), dtype=np.uint8), (0, 0, 6, 4))
    assert len(turn_all(Marking(25.0), photograph)["back"]) == 1
    assert len(turn_all(Marking(60.0), photograph)["back"]) == 0


def test_perfect_strips_have_no_error_and_are_themselves() -> None:
    strangers = np.eye(128)[10:20]
    values = measure([look(YAWS, 0), look(YAWS, 1)], strangers)
    assert values["yaw_both"].tolist() == [0, 0]
    assert values["monotone"].tolist() == [1, 1]
    assert values["own"].tolist() == [1, 1]
    assert values["light_kept"].tolist() == [1, 1]
    np.testing.assert_allclose(values["person_30"], 0.1)
    np.testing.assert_allclose(values["face_spread"], 0.05)
    np.testing.assert_allclose(values["back"], 30)


def test_errors_are_seen_where_they_are() -> None:
    late = [yaw - 5 for yaw in YAWS]
    strangers = np.eye(128)[[0]]  # one who looks as the second person's source does
    bad = look(late, 0, own=3.0)
    bad["light"][1:4] = 2
    mixed = look([*YAWS[:3], YAWS[2] - 1, *YAWS[4:]], 5)
    bad["descriptors"] = np.repeat(strangers, len(YAWS), axis=0)
    bad["source_descriptor"] = np.eye(128)[50]
    values = measure([bad, mixed], strangers)
    assert values["yaw_68"].tolist() == [5, pytest.approx(11 / 7)]
    assert values["own"].tolist() == [0, 1]
    assert values["light_kept"].tolist() == [pytest.approx(4 / 7), 1]
    assert values["monotone"].tolist() == [1, 0]


def test_people_without_a_value_are_left_out_of_the_mean() -> None:
    mean, low, high = summarise({"back": np.array([30.0, np.nan, 32.0])})["back"]
    assert mean == 31
    assert 30 <= low <= mean <= high <= 32
    assert summarise({"back": np.array([np.nan])}) == {}
