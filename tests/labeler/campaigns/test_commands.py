"""The commands of campaigns and gold, run as people run them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from labeler.campaigns.image_selection import SampleTooLarge
from labeler.cli.main import cli
from labeler.config import load_settings
from labeler.database.engine import Database
from labeler.errors import BrokenData, Conflict, InvalidInput, NotFound
from labeler.models.accounts import Annotator
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from rotation.data.formulas import guard_formula
from rotation.data.labels_csv import format_csv
from rotation.errors import DatasetError
from tests.conftest import write_images
from tests.labeler.acting import lease, vote
from tests.names import AWKWARD_NAMES


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A site with six images in partitions and with an attribute; its first campaign is `faces`."""
    monkeypatch.setenv("SIDELIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SIDELIGHT_DATABASE_URL", raising=False)
    folder = write_images(tmp_path / "faces", 6)
    names = [f"{number:06d}.jpg" for number in range(1, 7)]
    lines = "\n".join(f"{name} {'1' if i % 2 else '-1'}" for i, name in enumerate(names))
    (folder / "list_attr_celeba.txt").write_text(f"6\nYoung\n{lines}")
    parts = "\n".join(f"{name} {i % 3}" for i, name in enumerate(names))
    (folder / "list_eval_partition.txt").write_text(parts)
    run("init")
    run("images", "import", str(folder))
    database = Database(load_settings().database_url)
    yield database
    database.dispose()


def rules_of(db: Database, name: str) -> dict[str, object]:
    with db.read() as session:
        return session.scalars(select(Campaign.rules).where(Campaign.name == name)).one()


def test_made_listed_copied_activated(db: Database) -> None:
    made = run(
        "campaigns",
        "create",
        "Test part",
        "--partition",
        "test",
        "--without",
        "Young",
        "--rule",
        "training=3",
        "--rule",
        "blind_share=40 %",
        "--activate",
    )
    assert made.output == "* Test part: 1 images of faces, 0 agreed, 0 contested\n"
    assert rules_of(db, "Test part")["blind_share"] == 0.4
    assert run("campaigns", "clone", "Test part", "Again").output.startswith("Again: 1 images")
    listed = run("campaigns", "list", "--rules").output
    assert "* Test part" in listed
    assert "    blind_share=0.4 training=3\n" in listed
    assert "    all rules have their default values\n" in listed
    assert "* faces" in listed, "it stays active"
    assert run("campaigns", "deactivate", "Test part").output == "Test part is not active.\n"
    assert run("campaigns", "activate", "faces").output == "faces is active.\n"
    assert "* faces" in run("campaigns", "list").output


def test_blanks_around_a_name_are_dropped(db: Database) -> None:
    """The command says the name of the campaign, which is not active beside itself."""
    for action, said in (
        ("deactivate", "faces is not active.\nNo campaign is active now, so nobody gets images.\n"),
        ("activate", "faces is active.\n"),
        ("pause", "faces is paused.\n"),
        ("resume", "faces goes on.\n"),
        ("archive", "faces is archived.\n"),
    ):
        assert run("campaigns", action, " faces ").output == said, action


def test_pause_and_resume(db: Database) -> None:
    assert run("campaigns", "pause", "faces").output == "faces is paused.\n"
    assert "paused" in run("campaigns", "list").output
    assert run("campaigns", "resume", "faces").output == "faces goes on.\n"
    assert "paused" not in run("campaigns", "list").output


def test_a_sample_and_a_list(db: Database, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("filename,label\n000001.jpg,left\n000002.jpg,left\n000003.jpg,left\n")
    made = run("campaigns", "create", "Two", "--list", str(listed), "--sample", "2", "--seed", "4")
    assert "Two: 2 images" in made.output
    listed.write_text("nowhere.jpg\n")
    with pytest.raises(NotFound, match=r"'faces': 'nowhere\.jpg'"):
        run("campaigns", "create", "None", "--list", str(listed))
    with pytest.raises(NotFound, match=r"no attribute 'Old'\. It has: Young"):
        run("campaigns", "create", "None", "--with", "Old")
    with pytest.raises(InvalidInput, match="select no image"):
        run("campaigns", "create", "None", "--list", str(_one(tmp_path)), "--partition", "test")
    with pytest.raises(Conflict, match="Choose another name"):
        run("campaigns", "create", "faces")


def test_awkward_names_of_a_file_are_found(db: Database, tmp_path: Path) -> None:
    images = write_images(tmp_path / "awkward", 1)
    picture = (images / "000001.jpg").read_bytes()
    # An import passes over names with control characters.
    names = [name for name in AWKWARD_NAMES if name.isprintable() and name.endswith(".png")]
    names.remove("a/ b.png")
    for name in names:
        (images / name).write_bytes(picture)
    run("images", "import", str(images), "--activate")
    run("campaigns", "deactivate", "faces")
    text = format_csv([["filename", "label"], *([guard_formula(name), "left"] for name in names)])
    listed = tmp_path / "list.csv"
    listed.write_bytes(text.encode())
    made = run("campaigns", "create", "Listed", "--list", str(listed))
    assert f"Listed: {len(names)} images" in made.output
    assert f"{len(names)} gold questions added" in run("gold", "import", str(listed)).output


def _one(tmp_path: Path) -> Path:
    path = tmp_path / "one.txt"
    path.write_text("000001.jpg\n")
    return path


def test_rules_are_set_and_take_effect(db: Database) -> None:
    settings = load_settings()
    person = _annotator(db)
    [image] = lease(db, person, 1, settings)
    vote(db, person, image.image_id, "left", settings)
    before = run("campaigns", "set", "faces", "required_votes=2", "vote_cap=9").output
    assert "required_votes=2\n" in before
    assert _status(db, image.image_id) == "open"
    after = run("campaigns", "set", "faces", "method=majority", "required_votes=1").output
    assert "faces: the new rules changed 6 images" in after
    assert _status(db, image.image_id) == "agreed"
    assert "changed" not in run("campaigns", "set", "faces", "required_votes=1").output
    assert "method=majority" in run("campaigns", "set", "faces").output


def test_renaming_and_the_guideline(db: Database, tmp_path: Path) -> None:
    text = tmp_path / "guideline.md"
    text.write_text("# Cheeks\n")
    run("campaigns", "set", "faces", "--rename", "Class", "--guideline", str(text))
    with db.read() as session:
        assert session.scalars(select(Campaign.guideline)).one() == "# Cheeks"
        assert session.scalars(select(Campaign.name)).one() == "Class"
    with pytest.raises(DatasetError, match=r"nowhere\.md: cannot be read"):
        run("campaigns", "set", "Class", "--guideline", str(tmp_path / "nowhere.md"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("threshold=2", "threshold is '2'; a number from 0.5 to 0.9999 is needed"),
        ("order=best", "order is 'best'; allowed are breadth"),
        (
            "order=a; b",
            "order is 'a; b'; allowed are breadth, random, uncertain, contested, mixed",
        ),
        ("mirror_views=maybe", "mirror_views is 'maybe'; yes or no is needed"),
        ("bling=1", "rule is 'bling'; allowed are order, method"),
        ("training", "write RULE=VALUE"),
    ],
)
def test_rules_that_cannot_be(db: Database, given: str, message: str) -> None:
    before = rules_of(db, "faces")
    result = run("campaigns", "set", "faces", "required_votes=3", given)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert rules_of(db, "faces") == before


def test_gold_from_a_file_and_back(db: Database, tmp_path: Path) -> None:
    file = tmp_path / "gold.csv"
    file.write_text("filename,label,explanation\n000001.jpg,left,Nose\n000002.jpg,right,\n")
    assert "2 gold questions added" in run("gold", "import", str(file)).output
    assert "2 unchanged" in run("gold", "import", str(file)).output
    assert run("gold", "list").output.splitlines() == [
        "000002.jpg  right  (csv)  not shown yet",
        "000001.jpg  left  (csv)  not shown yet",
    ]
    assert (
        run("gold", "revoke", "000001.jpg").output == "000001.jpg is no longer a gold question.\n"
    )
    with pytest.raises(NotFound, match=r"000001\.jpg"):
        run("gold", "revoke", "000001.jpg")
    file.write_text("filename,label\n000003.jpg,top\n")
    with pytest.raises(BrokenData, match="Line 2, column 'label': unknown label 'top'"):
        run("gold", "import", str(file))
    file.write_bytes(b"\xff\xfe\0")
    with pytest.raises(BrokenData, match="no text in UTF-16"):
        run("gold", "import", str(file))


def test_gold_from_people(db: Database) -> None:
    settings = load_settings()
    run("campaigns", "set", "faces", "method=majority", "required_votes=2")
    assert "0 gold questions added" in run("gold", "from-supervisors").output
    boss, ann = _annotator(db, "supervisor"), _annotator(db)
    for person in (boss, ann):
        held = lease(db, person, 6, settings)
        vote(db, person, min(one.image_id for one in held), "center", settings)
    assert "1 gold questions added" in run("gold", "promote", "--min-votes", "2").output
    run("gold", "revoke", "000001.jpg")
    assert "1 gold questions added" in run("gold", "from-supervisors").output
    assert "000001.jpg  center  (supervisor)" in run("gold", "list").output
    assert run("gold", "promote", "--min-votes", "1").exit_code == 2


def _annotator(db: Database, role: str = "annotator") -> int:
    with db.write() as session:
        person = Annotator(username=role, pseudonym=role, role=role, password_hash="!")
        session.add(person)
        session.flush()
        return person.id


def _status(db: Database, image_id: int) -> str:
    with db.read() as session:
        return session.scalars(
            select(Consensus.status)
            .join(Image, Image.id == Consensus.image_id)
            .where(Image.id == image_id)
        ).one()


def test_commands_read_what_spreadsheets_write(db: Database, tmp_path: Path) -> None:
    """Gold, a list, poses, a table of CelebA and a guideline, by code page 1252 or UTF-16."""
    file = tmp_path / "table.csv"
    file.write_bytes(
        "filename;Label;explanation\r\n000001.jpg;Left;è qui\r\n;;\r\n".encode("cp1252")
    )
    done = run("gold", "import", str(file))
    assert done.output == "faces: 1 gold questions added, 0 changed, 0 unchanged\n"
    file.write_bytes("sep=\t\r\nid\tFilename\r\n1\t000002.jpg \r\n".encode("utf-16"))
    assert "1 images" in run("campaigns", "create", "listed", "--list", str(file)).output
    file.write_bytes(b"filename;yaw_deg\r\n000001.jpg;3,5\r\n")
    assert "stored the yaw of 1 images" in run("images", "poses", str(file)).output
    (tmp_path / "faces" / "list_eval_partition.txt").write_bytes(b"a;partition\r\n000001.jpg;2\r\n")
    run("images", "import", str(tmp_path / "faces"))
    with db.read() as session:
        image = session.scalars(select(Image).where(Image.filename == "000001.jpg")).one()
    assert (image.partition, image.yaw_deg) == (2, 3.5)
    file.write_bytes("Guarda la luce: così.\r\n".encode("cp1252"))
    run("campaigns", "set", "listed", "--guideline", str(file))
    with db.read() as session:
        stored = session.scalars(select(Campaign.guideline).where(Campaign.name == "listed")).one()
    assert stored == "Guarda la luce: così."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04" + bytes(9), "no text file but a Word document"),
        (b"%PDF-1.7\n", "no text file but a PDF document"),
        ("Свет слева".encode("cp1251"), "not a text file: it is neither UTF-8 nor Windows-1252"),
        (b"Look\0", "not a text file: a NUL character"),
    ],
)
def test_a_guideline_that_is_no_text(
    db: Database, tmp_path: Path, data: bytes, message: str
) -> None:
    file = tmp_path / "guide.docx"
    file.write_bytes(data)
    with pytest.raises(DatasetError) as caught:
        run("campaigns", "set", "faces", "--guideline", str(file))
    assert message in str(caught.value)
    assert "Save it as plain text in UTF-8." in str(caught.value)
    assert "CSV" not in str(caught.value)


def test_a_sample_larger_than_the_set_is_refused(db: Database) -> None:
    with pytest.raises(SampleTooLarge, match="select 2 images, so the sample has at most 2"):
        run("campaigns", "create", "Many", "--partition", "test", "--sample", "3")
    assert "Many" not in run("campaigns", "list").output
