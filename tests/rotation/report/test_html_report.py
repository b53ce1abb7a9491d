"""The page of a run: what a person reads there, and that it needs nothing but itself."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from rotation.clusters.selection import ClusterMembers, Selection
from rotation.data.records import Records
from rotation.directions.diagnostics import angle_fits, examples
from rotation.directions.direction import Direction
from rotation.directions.fit import Fit
from rotation.editing.method import TurnPath
from rotation.editing.pipeline import Rotation, Source
from rotation.report import svg_plots
from rotation.report.html_report import render_html_report, write_html_report

SIDE, ANGLES = 8, (-20.0, -10.0, 0.0, 10.0, 20.0)
SHAPE = (3, SIDE, SIDE)


def straight(per_cluster: int = 4, noise: float = 0.0) -> tuple[Selection, np.ndarray, Direction]:
    """Clusters whose latents lie on a known path, each member at its cluster's angle."""
    rng = np.random.default_rng(0)
    left, right = rng.normal(0, 0.1, (2, 3 * SIDE * SIDE))
    direction = Direction(left, right, 0.9, 0.9)
    clusters = tuple(
        ClusterMembers(
            np.arange(k * per_cluster, (k + 1) * per_cluster),
            np.zeros(per_cluster, dtype=bool),
            np.full(per_cluster, angle),
        )
        for k, angle in enumerate(ANGLES)
    )
    selection = Selection(ANGLES, clusters, ("Male",), ("Smiling",))
    yaws = selection.members.yaw_deg
    latents = 3.0 + np.stack([direction.displacement(0.0, yaw) for yaw in yaws])
    latents = latents + rng.normal(0, noise, latents.shape) if noise else latents
    return selection, latents.astype(np.float32).reshape(-1, *SHAPE), direction


def test_clusters_on_the_path_have_no_residual_and_lie_where_they_should() -> None:
    fits = angle_fits(*straight())
    assert [fit.along_deg for fit in fits] == pytest.approx(ANGLES, abs=1e-2)
    assert max(fit.residual for fit in fits) < 1e-3
    assert max(fit.noise for fit in fits) < 1e-3


def test_noise_tells_how_far_chance_alone_takes_a_mean() -> None:
    fits = angle_fits(*straight(per_cluster=200, noise=1.0))
    expected = np.sqrt(3 * SIDE * SIDE / 200)
    for fit in fits:
        assert fit.noise == pytest.approx(expected, rel=0.05)
        assert fit.residual == pytest.approx(expected, rel=0.3)


def test_a_cluster_off_the_path_shows() -> None:
    selection, latents, direction = straight()
    latents[selection.sizes[0] * 3 : selection.sizes[0] * 4] += 1.0
    fits = angle_fits(selection, latents, direction)
    assert np.argmax([fit.residual for fit in fits]) == 3


def test_examples_are_the_members_nearest_to_the_angle_as_used() -> None:
    crops = {row: np.full((SIDE, SIDE, 3), row, dtype=np.uint8) for row in range(4)}
    crops[2][:, 0] = 99
    members = ClusterMembers(
        np.arange(4), np.array([0, 0, 1, 0], dtype=bool), np.array([9.0, 14, 10, 7])
    )
    (shown,) = examples(Selection((10.0,), (members,), (), ()), crops, count=2)
    assert shown.yaws_deg == (10.0, 9.0)
    assert shown.crops[0, 0, -1, 0] == 99
    assert shown.crops[1, 0, 0, 0] == 0


def a_rotation() -> Rotation:
    selection, latents, direction = straight()
    pictures = np.random.default_rng(1).integers(0, 256, (8, SIDE, SIDE, 3), dtype=np.uint8)
    record = Records(("a.jpg",), np.array(["left"]), np.array([1]), (), np.zeros((1, 0)))
    return Rotation(
        source=Source(pictures[0], record, "left", 3.0),
        reconstruction=pictures[1],
        frames=pictures[:3],
        norms=(13.0, 13.5, 14.0),
        source_norm=13.9,
        turn=TurnPath((-40.0, 0.0, 55.0), (True, True, False)),
        selection=selection,
        fit=Fit(direction, 0.8, 0.7),
        means=pictures[:5],
        examples=examples(selection, dict.fromkeys(range(20), pictures[2])),
        angle_fits=angle_fits(selection, latents, direction),
    )


def a_report(**changes: Any) -> dict[str, Any]:
    angle = {"yaw_deg": 0.0, "along_deg": 1.0, "residual": 2.0, "noise": float("nan")}
    report = {
        "source": {"name": "<b>a&b.jpg", "yaw_deg": 3.0, "light": "left"},
        "yaws_deg": (-20.0, 0.0, 20.0),
        "clusters": {
            "angles_deg": ANGLES,
            "sizes": (4,) * 5,
            "attributes": ("Male",),
            "attributes_dropped": ("Smiling",),
            "widening": ("Smiling dropped",),
        },
        "fit": {
            "method": "paper",
            "shrink": False,
            "r2_left": 0.91,
            "r2_right": float("nan"),
            "split_half_cosine_left": 0.8,
            "split_half_cosine_right": 0.7,
            "angles": [angle | {"angle_deg": a} for a in ANGLES],
        },
        "turn": {"path_deg": (-40.0, 0.0, 55.0), "reached": (True, True, False)},
        "finish": {"match_colours": True, "super_resolution": None, "sharpen": 0.5},
        "latent_norm": {"source": 13.9, "frames": (13.0, 13.5, 14.0)},
        "model": {"name": "tiny", "fingerprint": "f00d" * 16, "steps": 10},
        "seconds": {"load": 1.2, "turn": 3.4},
        "versions": {"python": "3.11.7"},
        "command": "manage.py rotation run --out 'a b'",
        "seed": 7,
    }
    return report | changes


class Page(HTMLParser):
    """Words, addresses, and whether each tag is closed in its turn."""

    VOID = frozenset({"meta", "img", "br", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.addresses += [v for k, v in attrs if k in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        """As SVG writes them."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_the_page_stands_alone_and_says_what_was_done(tmp_path: Path) -> None:
    result = a_rotation()
    write_html_report(a_report(), result, result.frames, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text("utf-8")
    page = Page(html)
    assert not page.open
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "http" not in html.replace("http://www.w3.org", "")
    for words in (
        "<b>a&b.jpg, turned",
        "not reached",
        "−20°",
        "Smiling dropped",
        "paper",
        "colours matched",
        "sharpened by 0.5",
        "f00d",
        "rotation run --out 'a b'",
        "0.91",
        "3.11.7",
        "13.5",
    ):
        assert words in page.text
    assert "not measured" not in page.text
    assert "<b>a&b" not in html  # escaped


@pytest.mark.parametrize(
    "changes",
    [
        {"source": {"name": "a", "yaw_deg": -3.0, "light": None}},
        {"turn": {"path_deg": (-20.0, 0.0, 20.0), "reached": None}},
        {
            "turn": {
                "path_deg": (-20.0, 0.0, float("nan")),
                "reached": (True, True, True),
                "measured_deg": (-19.6, 0.1, 18.7),
            }
        },
        {"finish": {"match_colours": False, "super_resolution": None, "sharpen": 0}},
    ],
)
def test_what_was_not_asked_or_measured_is_not_claimed(changes: dict) -> None:
    result = a_rotation()
    text = Page(render_html_report(a_report(**changes), result, result.frames)).text
    if "measured_deg" in changes.get("turn", {}):
        assert "measured +18.7°" in text
    elif "turn" in changes:
        assert "not measured" in text
        assert "not reached" not in text
    if "finish" in changes:
        assert "Finished for show" not in text
    if "source" in changes:
        assert "lit from" not in text
        assert "images of every light" in text


def test_one_frame_is_a_page_too() -> None:
    result = a_rotation()
    one = a_report(
        yaws_deg=(0.0,),
        turn={"path_deg": (0.0,), "reached": (True,)},
        latent_norm={"source": 13.9, "frames": (13.9,)},
    )
    assert Page(
        render_html_report(one, replace(result, frames=result.frames[:1]), result.frames[:1])
    ).text


def test_plots_are_whole_svg_with_their_points_inside() -> None:
    drawn = svg_plots.scatter("A <title>", [(-30, -60.0), (0, 0.0), (30, float("nan"))], ("x", "y"))
    root = ElementTree.fromstring(drawn)
    circles = root.findall("circle")
    assert len(circles) == 2  # what is not known is not drawn
    assert float(circles[0].get("cx")) < float(circles[1].get("cx"))
    assert float(circles[0].get("cy")) > float(circles[1].get("cy"))
    for circle in circles:
        assert 0 < float(circle.get("cx")) < svg_plots.WIDTH
        assert 0 < float(circle.get("cy")) < svg_plots.HEIGHT
    bars = ElementTree.fromstring(
        svg_plots.bars("b", [-10, 0, 10], [1, 4, 2], [0.5, float("nan"), 1], ("x", "y"))
    ).findall("rect")
    heights = [float(bar.get("height")) for bar in bars]
    assert heights[1] == pytest.approx(4 * heights[0], rel=0.01)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-34, 34, [-20, 0, 20]), (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-5, 5, [-4, -2, 0, 2, 4])],
)
def test_ticks_are_round(low: float, high: float, expected: list) -> None:
    assert svg_plots.ticks(low, high) == pytest.approx(expected)


def test_high_photographs_are_embedded_small() -> None:
    """A page of photographs as they were written could not be opened."""
    high = np.random.default_rng(0).integers(0, 256, (3, 640, 480, 3), dtype=np.uint8)
    result = replace(a_rotation(), photographs=list(high))
    pictures = [
        address
        for address in Page(render_html_report(a_report(), result, high)).addresses
        if address.startswith("data:image/jpeg;base64,")
    ]
    assert len(pictures) == 6  # three in the slider, three among the frames
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))) as image:
            assert image.size == (240, 320)
