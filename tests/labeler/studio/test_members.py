"""The pictures of the clusters that a turn would use, and their mean faces."""

from __future__ import annotations

import html
import io
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import select

from labeler.database.engine import Database
from labeler.errors import NotFound, StillPreparing
from labeler.images.serving import read_file
from labeler.models.campaigns import Campaign
from labeler.models.images import Image
from labeler.studio.candidates import PreviewSource
from labeler.studio.choices import TurnChoices
from labeler.studio.members import ClusterPlace, MeanFaces, Member, find_members
from labeler.studio.preview import preview_clusters
from rotation.data.crop import standard_crop
from tests.labeler.conftest import Visit
from tests.labeler.lit_faces import register, write_faces
from tests.labeler.studio.labelled import Face, Labelled, even_faces, register_labelled
from tests.labeler.studio.test_new_page import FIELDS
from tests.processes import wait_for

FEW = TurnChoices(light="left", min_cluster=4, max_cluster=500, with_proposals=False)
MIXED = [
    Face(yaw + step, light, bits, person)
    for person, (yaw, light, bits) in enumerate(
        (yaw, light, bits)
        for yaw in range(-40, 41, 5)
        for light in ("left", "center", "right")
        for bits in (0, 1, 3)
    )
    for step in (0.0, 0.3)
]


def members_at(
    db: Database, campaign_id: int, choices: TurnChoices, place: ClusterPlace, most: int = 1000
) -> list[Member]:
    with db.read() as session:
        campaign = session.get_one(Campaign, campaign_id)
        return find_members(session, campaign, PreviewSource(), choices, place, most=most)


@pytest.mark.parametrize(
    "choices",
    [
        FEW,
        replace(FEW, light="center"),
        replace(FEW, light_filter=False),
        replace(FEW, min_cluster=40),
    ],
    ids=["left", "center", "any light", "widened"],
)
def test_as_many_members_are_found_as_are_counted(
    any_db: Database, tmp_path: Path, choices: TurnChoices
) -> None:
    found = register_labelled(any_db, tmp_path, MIXED)
    with any_db.read() as session:
        campaign = session.get_one(Campaign, found.campaign_id)
        preview = preview_clusters(session, campaign, PreviewSource(), choices)
    for cluster in preview.clusters:
        place = ClusterPlace(int(cluster.angle_deg), cluster.half_width_deg)
        assert len(members_at(any_db, found.campaign_id, choices, place)) == cluster.used


def test_the_first_members_are_found_however_the_images_are_looked_through(
    any_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = register_labelled(any_db, tmp_path, MIXED)
    place = ClusterPlace(10, 5)

    def first(most: int) -> list[tuple[int, bool]]:
        members = members_at(any_db, found.campaign_id, FEW, place, most)
        return [(one.image.id, one.mirrored) for one in members]

    wanted = [first(most) for most in (1, 5, 1000)]
    assert len(wanted[2]) > 5
    monkeypatch.setattr("labeler.studio.members.FIRST_STRETCH", 1)
    assert [first(most) for most in (1, 5, 1000)] == wanted


def test_members_share_the_attributes_of_the_source(any_db: Database, tmp_path: Path) -> None:
    found = register_labelled(any_db, tmp_path, MIXED)
    source = PreviewSource(attribute_bits=3)
    chosen = replace(FEW, attributes=("Male", "Smiling"))
    with any_db.read() as session:
        campaign = session.get_one(Campaign, found.campaign_id)
        members = find_members(session, campaign, source, chosen, ClusterPlace(10, 5), most=100)
    assert members
    assert {one.image.attribute_bits for one in members} == {3}
    assert {one.mirrored for one in members} == {False, True}
    for one in members:
        yaw = one.image.yaw_deg or 0.0
        assert 5 <= (-yaw if one.mirrored else yaw) <= 15


def test_the_mean_is_that_of_the_crops(db: Database, tmp_path: Path) -> None:
    found = register_labelled(db, tmp_path, even_faces(2))
    members = members_at(db, found.campaign_id, FEW, ClusterPlace(-10, 5))
    assert [one.mirrored for one in members] == [False, False]
    members = [members[0], replace(members[1], mirrored=True)]
    crops = [
        standard_crop(Picture.open(tmp_path / one.image.filename), 128).astype(float)
        for one in members
    ]
    expected = np.rint((crops[0] + crops[1][:, ::-1]) / 2)
    drawn = Picture.open(io.BytesIO(MeanFaces().draw(str(tmp_path), members)))
    assert drawn.size == (128, 128)
    assert np.array_equal(np.asarray(drawn), expected)
    assert not np.array_equal(np.asarray(drawn), crops[0])


def test_large_photographs_count_like_others_and_other_large_images_do_not(tmp_path: Path) -> None:
    photographs = _of_sizes(tmp_path, [3000, 32, 3000], "jpg")
    assert _mean_grey(tmp_path, photographs) == 40
    assert _mean_grey(tmp_path, photographs[1:]) == 60
    members = _of_sizes(tmp_path, [3000, 32, 32], "png")
    assert _mean_grey(tmp_path, members) == 60, "9 megapixels that cannot be read reduced"
    assert _mean_grey(tmp_path, [replace(members[0], mirrored=True)]) == 0, "the only one"


def test_one_mean_face_is_drawn_at_a_time_and_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is read slowly stands for many faces: two threads are let in, no third one."""
    members, reading, go_on = _of_sizes(tmp_path, [32]), [], threading.Event()

    def read_slowly(path: str, name: str) -> bytes:
        reading.append(name)
        assert go_on.wait(20)
        return read_file(path, name)

    monkeypatch.setattr("labeler.studio.members.read_file", read_slowly)
    faces = MeanFaces()
    with ThreadPoolExecutor() as pool:
        first, second = (pool.submit(faces.draw, str(tmp_path), members) for _ in range(2))
        wait_for(lambda: reading and not faces._places._value, "both threads to be let in")
        with pytest.raises(StillPreparing):
            faces.draw(str(tmp_path), members)
        go_on.set()
        assert first.result() == second.result()
    assert faces.draw(str(tmp_path), members) == first.result()
    assert reading == ["0.png"]


def test_files_that_are_gone_are_left_out(tmp_path: Path) -> None:
    members = _of_sizes(tmp_path, [32, 32])
    (tmp_path / "0.png").unlink()
    assert _mean_grey(tmp_path, members) == 40
    (tmp_path / "1.png").unlink()
    other = [replace(one, mirrored=True) for one in members]
    with pytest.raises(NotFound, match="no picture"):
        MeanFaces().draw(str(tmp_path), other)
    with pytest.raises(NotFound, match="no picture"):
        MeanFaces().draw(str(tmp_path), [])


def _of_sizes(folder: Path, sides: Sequence[int], kind: str = "png") -> list[Member]:
    """Grey pictures, each 40 brighter than the one before, and as members."""
    folder.mkdir(exist_ok=True)
    members = []
    for number, side in enumerate(sides):
        name = f"{number}.{kind}"
        Picture.new("RGB", (side, side), (40 * number,) * 3).save(folder / name)
        image = Image(filename=name, sha256=f"{side}-{number}", width=side, height=side)
        members.append(Member(image, False))
    return members


def _mean_grey(folder: Path, members: Sequence[Member]) -> float:
    drawn = Picture.open(io.BytesIO(MeanFaces().draw(str(folder), members)))
    return float(np.asarray(drawn).mean())


@pytest.fixture
def labelled(db: Database, tmp_path: Path) -> Labelled:
    return register_labelled(db, tmp_path / "faces", even_faces(4))


def test_the_form_leads_to_mean_faces_and_pictures(visit: Visit, labelled: Labelled) -> None:
    boss = visit("supervisor")
    sent = {**FIELDS, "csrf_token": boss.token()}
    part = boss.client.post("/studio/preview", data=sent)
    means = [one.replace("&amp;", "&") for one in re.findall(r'src="([^"]+mean[^"]+)"', part.text)]
    assert len(means) == 7
    first = boss.get(means[0])
    assert first.mimetype == "image/png"
    assert Picture.open(io.BytesIO(first.data)).size == (128, 128)
    tag = {"If-None-Match": first.headers["ETag"]}
    assert boss.client.get(means[0], headers=tag).status_code == 304
    assert boss.get(means[1]).headers["ETag"] != first.headers["ETag"]
    (members,) = re.findall(r'data-members="([^"]+)"', part.text)
    page = boss.get(members.replace("&amp;", "&"))
    assert page.status_code == 200
    assert page.text.count("<h3>") == 7
    assert page.text.count('loading="lazy"') == 3 + 6 * 4, "the source is left out at its own angle"
    assert "faces004.png" in page.text


def test_of_an_empty_cluster_no_mean_is_shown(visit: Visit, db: Database, tmp_path: Path) -> None:
    register_labelled(db, tmp_path / "faces", [Face(0.0), Face(1.0)])
    boss = visit("supervisor")
    sent = {**FIELDS, "csrf_token": boss.token(), "light": "left", "min_cluster": "1"}
    part = boss.client.post("/studio/preview", data=sent)
    assert re.findall(r"at=([^&]+)", part.text.partition("data-members")[0]) == ["0:5", "10:9"]
    assert boss.get("/studio/clusters/mean?at=30:5&light=left").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "",
        "at=x",
        "at=10:5,20:5",
        "at=10:5&light=up",
        "at=10:5&attributes=Bald",
        "at=10:5&min_percent=200",
        "at=10:5&min_percent=abc",
        "at=10:5&source=abc",
    ],
)
def test_a_wrong_address_is_refused(visit: Visit, labelled: Labelled, query: str) -> None:
    assert visit("supervisor").get(f"/studio/clusters/mean?{query}").status_code == 422


def test_a_foreign_source_is_refused(
    visit: Visit, db: Database, labelled: Labelled, tmp_path: Path
) -> None:
    boss = visit("supervisor")
    chosen = f"/studio/clusters?at=0:5&campaign={labelled.campaign_id}"
    write_faces(tmp_path / "others", {"other.png": "left"})
    with db.write() as session:
        other = register(session, tmp_path / "others", ["other.png"], "others")
        foreign = session.scalars(select(Image.id).where(Image.dataset_id == other.id)).one()
    assert boss.get(f"{chosen}&source={labelled.image_ids[0]}").status_code == 200
    for number in (foreign, 999_999):
        answer = boss.get(f"{chosen}&source={number}")
        assert answer.status_code == 404
        assert f"no image {number}" in answer.text


@pytest.mark.parametrize("name", ["endpoint", "_scheme", "_anchor", "_method", "_external"])
def test_other_values_of_an_address_do_no_harm(visit: Visit, labelled: Labelled, name: str) -> None:
    assert visit("supervisor").get(f"/studio/clusters?at=0:5&{name}=x").status_code == 200


def test_the_way_back_keeps_the_choices(visit: Visit, labelled: Labelled) -> None:
    boss = visit("supervisor")
    chosen = {
        **FIELDS,
        "angles": "own",
        "own_angles": "-20,0,20",
        "min_percent": "40",
        "way": "flow",
    }
    sent = {**chosen, "csrf_token": boss.token(), "attributes": ["Male"], "source": "3"}
    part = boss.client.post("/studio/preview", data=sent).text
    (members,) = re.findall(r'data-members="([^"]+)"', part)
    page = boss.get(html.unescape(members)).text
    (back,) = re.findall(r'href="([^"]+)">Back to the form', page)
    form = boss.get(html.unescape(back)).text
    assert 'name="own_angles" value="-20,0,20"' in form
    assert 'name="min_percent" value="40"' in form
    assert re.search(r'value="flow" selected', form)
    assert re.findall(r'name="attributes" value="(\w+)" checked', form) == ["Male"]
    assert 'name="source" value="faces' in form


def test_the_way_back_stays_on_this_site(visit: Visit, labelled: Labelled) -> None:
    page = visit("supervisor").get("/studio/clusters?at=0:5&back=https://elsewhere.example/").text
    (back,) = re.findall(r'href="([^"]+)">Back to the form', page)
    assert back.startswith("/studio/new")


def test_annotators_see_no_members(visit: Visit, labelled: Labelled) -> None:
    for address in ("/studio/clusters?at=0:5", "/studio/clusters/mean?at=0:5"):
        assert visit("annotator").get(address).status_code == 403
