"""What users have from an earlier version still opens: README.md tells how the files were made."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
import sqlite3
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from labeler.app import create_app
from labeler.cli.main import cli
from labeler.config import load_settings
from tests.compatibility.make_files import PASSWORD, SPARSE, TURN

FILES = Path(__file__).parent / "files"
TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
Manage = Callable[..., str]
SignIn = Callable[[str], FlaskClient]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home folder of a site with the earlier database."""
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copyfile(FILES / "sidelight.sqlite3", folder / "sidelight.sqlite3")
    return folder


@pytest.fixture
def manage(home: Path, monkeypatch: pytest.MonkeyPatch) -> Manage:
    """Runs a command of `manage.py` and returns what it prints."""
    monkeypatch.setenv("SIDELIGHT_HOME", str(home))
    monkeypatch.delenv("SIDELIGHT_DATABASE_URL", raising=False)

    def run(*words: object) -> str:
        result = CliRunner().invoke(cli, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result.output

    return run


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """The folder of images that all files are about."""
    folder = tmp_path / "heads"
    with zipfile.ZipFile(FILES / "heads.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def app(manage: Manage, home: Path) -> Iterator[Flask]:
    """The site on the earlier database, brought up to date."""
    manage("init")
    application = create_app(load_settings({"SIDELIGHT_HOME": str(home)}))
    yield application
    application.extensions["sidelight_db"].dispose()


@pytest.fixture
def sign_in(app: Flask) -> SignIn:
    """A browser of the person, signed in with the password that the person chose then."""

    def signed_in(name: str) -> FlaskClient:
        client = app.test_client()
        token = TOKEN.search(client.get("/sign-in").text)
        assert token is not None
        fields = {"username": name, "password": PASSWORD, "csrf_token": token[1]}
        assert client.post("/sign-in", data=fields).status_code == 303
        return client

    return signed_in


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def kept(name: str) -> str:
    """The text of a file that the earlier version wrote."""
    return (FILES / name).read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("labels.csv", ("labels",)),
        ("labels_with_proposals.csv", ("labels", "--with-proposals")),
        ("votes.csv", ("votes",)),
    ],
)
def test_exports_are_what_they_were(
    manage: Manage, tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    manage("init")
    manage("export", *words, "--out", tmp_path / name)
    assert (tmp_path / name).read_text("utf-8") == kept(name)


def test_labels_by_majority_are_what_they_were(manage: Manage, tmp_path: Path) -> None:
    """But for the name of the rule, which says no more that it is the rule of the site."""
    manage("init")
    out = tmp_path / "majority.csv"
    manage("consensus", "refresh", "--method", "majority", "--out", out)
    found, expected = (rows_of(text) for text in (out.read_text("utf-8"), kept("majority.csv")))
    for row in found + expected:
        assert row.pop("method") in ("majority-1", "plurality-1", "gold-1")
    assert found == expected


def test_consensus_derived_anew_from_the_votes_is_what_it_was(
    manage: Manage, tmp_path: Path
) -> None:
    manage("init")
    manage("consensus", "rebuild", "--campaign", "heads")
    manage("export", "labels", "--out", tmp_path / "labels.csv")
    found = rows_of((tmp_path / "labels.csv").read_text("utf-8"))
    for row, before in zip(found, rows_of(kept("labels.csv")), strict=True):
        for name in before:
            if name.startswith("p_"):
                assert float(row[name]) == pytest.approx(float(before[name]), abs=1e-6)
            else:
                assert row[name] == before[name]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/admin/", ("heads",)),
        ("/admin/quality", ("ada", "dora")),
        ("/admin/people", ("ada", "emil", "Please see me first.")),
        ("/admin/agreement", ("Krippendorff",)),
        ("/admin/campaigns", ("heads", "Second look")),
        ("/admin/campaigns/1", ("heads",)),
        ("/admin/gold", ("000001.jpg",)),
        ("/admin/runs", ("mirror-logistic",)),
        ("/admin/contested", ()),
        ("/admin/decisions", ()),
        ("/admin/data-sets", ("heads",)),
        ("/admin/invites", ()),
        ("/account", ("boss",)),
        ("/me", ()),
        ("/guide", ()),
        ("/grid", ()),
    ],
)
def test_pages_open_with_what_was_there(
    sign_in: SignIn, address: str, said: tuple[str, ...]
) -> None:
    page = sign_in("boss").get(address)
    assert page.status_code == 200, page.text
    assert [word for word in said if word not in page.text] == []


def test_a_person_goes_on_voting(sign_in: SignIn, manage: Manage, tmp_path: Path) -> None:
    ada = sign_in("ada")
    headers = {"X-CSRFToken": ada.get("/label/state").get_json()["csrf_token"]}
    leased = ada.post("/label/leases", json={"count": 1}, headers=headers).get_json()["images"]
    body = {"image_id": leased[0]["image_id"], "answer": "left", "request_id": str(uuid.uuid4())}
    assert ada.post("/label/votes", json=body, headers=headers).status_code == 201
    manage("export", "votes", "--out", tmp_path / "votes.csv")
    text = (tmp_path / "votes.csv").read_text("utf-8")
    assert text.startswith(kept("votes.csv"))
    (new,) = rows_of(text)[len(rows_of(kept("votes.csv"))) :]
    assert (new["image_id"], new["answer"]) == (str(body["image_id"]), "left")


def test_who_was_paused_stays_paused_and_who_was_in_training_goes_on(sign_in: SignIn) -> None:
    assert "Please see me first." in sign_in("dora").get("/label").text
    assert "1 of 3 answered" in " ".join(sign_in("emil").get("/label/training").text.split())


def test_the_images_can_be_found_again_and_a_model_trained(
    manage: Manage, home: Path, heads: Path, tmp_path: Path
) -> None:
    manage("init")
    with sqlite3.connect(home / "sidelight.sqlite3") as connection:
        connection.execute("UPDATE dataset SET path = ?", [str(heads)])
    manage("images", "import", heads, "--name", "heads", "--check")
    manage("images", "poses", FILES / "poses.csv")
    manage("propose", "--campaign", "heads")
    assert "run 2, published" in manage("proposals", "runs")
    manage("export", "votes", "--out", tmp_path / "votes.csv")
    assert (tmp_path / "votes.csv").read_text("utf-8") == kept("votes.csv")


@pytest.fixture
def cache(tmp_path: Path, heads: Path) -> Path:
    """The earlier cache, with the poses under the name that belongs to the folder `heads`."""
    folder = tmp_path / "cache"
    shutil.copytree(FILES / "cache", folder)
    digest = hashlib.sha256(str(heads.resolve()).encode()).hexdigest()[:12]
    (folder / "poses.csv").rename(folder / f"poses-{digest}.csv")
    return folder


def poses_in(cache: Path) -> Path:
    (path,) = cache.glob("poses-*.csv")
    return path


def turn(manage: Manage, heads: Path, cache: Path, out: Path, *words: object) -> None:
    manage(
        "rotation",
        "run",
        "--images",
        heads,
        "--landmarks",
        "mtcnn",
        "--device",
        "cpu",
        "--labels",
        FILES / "labels_with_proposals.csv",
        "--model",
        FILES / "pipeline",
        *TURN,
        *SPARSE,
        "--bf16",  # as the files were made; the default depends on the processor
        "--cache",
        cache,
        "--out",
        out,
        *words,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }


@pytest.mark.slow
def test_latents_and_poses_are_not_made_again(
    manage: Manage, heads: Path, cache: Path, tmp_path: Path
) -> None:
    # No detector would give these: poses that are still there were not measured again.
    path = poses_in(cache)
    marked = [row | {"roll_deg": "3.210"} for row in rows_of(path.read_text("utf-8"))]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(marked[0]))
        writer.writeheader()
        writer.writerows(marked)
    before = contents(cache / "latents")
    turn(manage, heads, cache, tmp_path / "turned")
    assert contents(cache / "latents") == before
    now = {row["filename"]: row for row in rows_of(path.read_text("utf-8"))}
    assert {name: row["roll_deg"] for name, row in now.items()} == {
        row["filename"]: "3.210" for row in marked
    }
    with Image.open(tmp_path / "turned" / "strip.png") as strip:
        assert strip.width > strip.height > 0


def test_embedding_goes_on_where_the_earlier_version_was(
    manage: Manage, heads: Path, cache: Path
) -> None:
    said = manage(
        "rotation",
        "embed",
        "--images",
        heads,
        "--model",
        FILES / "pipeline",
        "--cache",
        cache,
        "--embedding",
        "smooth",
        "--steps",
        "4",
        "--device",
        "cpu",
        "--bf16",  # as the files were made; the default depends on the processor
    )
    assert "1 embedded, 23 known before, 0 unreadable" in said  # the source has a store of its own


def test_poses_are_measured_on_into_the_earlier_file(
    manage: Manage, heads: Path, tmp_path: Path
) -> None:
    out = tmp_path / "poses.csv"
    lines = kept("poses.csv").splitlines(keepends=True)
    out.write_text("".join(lines[:-2]), "utf-8")
    manage(
        "rotation",
        "poses",
        "--images",
        heads,
        "--landmarks",
        "mtcnn",
        "--device",
        "cpu",
        "--out",
        out,
    )
    found = {row["filename"]: row for row in rows_of(out.read_text("utf-8"))}
    for before in rows_of(kept("poses.csv")):
        row = found[before["filename"]]
        for name in ("yaw_deg", "pitch_deg", "roll_deg", "confidence"):
            assert float(row[name]) == pytest.approx(float(before[name]), abs=0.05)


@pytest.mark.slow
def test_csv_files_of_poses_and_labels_are_read(
    manage: Manage, heads: Path, cache: Path, tmp_path: Path
) -> None:
    turn(manage, heads, cache, tmp_path / "turned", "--poses", FILES / "poses.csv")
    assert (tmp_path / "turned" / "report.json").is_file()
    manage(
        "report",
        "mean-faces",
        "--images",
        heads,
        "--labels",
        FILES / "labels.csv",
        "--poses",
        FILES / "poses.csv",
        "--out",
        tmp_path / "mean.png",
    )
    assert (tmp_path / "mean.png").is_file()


def test_a_pipeline_turns_by_the_directions_saved_in_it(heads: Path) -> None:
    from rotation.diffusers_pipeline import HeadRotationPipeline

    pipeline: Any = HeadRotationPipeline.from_pretrained(FILES / "pipeline")
    (name,) = pipeline.directions
    assert name == "any"  # the clusters were of every light
    with Image.open(heads / "img_align_celeba" / "000001.jpg") as image:
        turned = pipeline(
            image.convert("RGB"),
            (-20.0, 20.0),
            source_yaw_deg=0.0,
            output_type="np",
            num_inference_steps=4,
            inversion_tolerance=1e-2,
        )
    assert turned.images.shape == (2, 16, 16, 3)
    assert np.abs(turned.images[0] - turned.images[1]).mean() > 1e-4
