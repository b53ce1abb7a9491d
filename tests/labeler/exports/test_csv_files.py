"""The CSV files: their columns, their rows, and what a spreadsheet and a reader make of them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from labeler.consensus.store import rebuild
from labeler.csv_input import read_filenames, read_gold_csv
from labeler.database.engine import Database
from labeler.errors import Conflict, NotFound
from labeler.exports.batch_consensus import aggregate, stream_aggregation
from labeler.exports.csv_files import VOTE_COLUMNS, stream_labels, stream_votes
from labeler.models.base import utc_now
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.proposals import ModelRun, Proposal
from labeler.models.voting import Vote
from rotation.data.formulas import unguard_formula
from rotation.data.labels_csv import LABEL_COLUMNS, read_labels
from tests.labeler.acting import make_gold, set_rules
from tests.labeler.lit_faces import START, add_people, register, vote
from tests.names import AWKWARD_NAMES

NAMES = ["c.png", "a.png", "b.png", "d.png", "e.png", "sub/f.png"]
ANSWERS = {
    "a.png": ["left", "left", "center"],
    "b.png": ["left", "right"],
    "c.png": ["right", "center", "left"],
    "d.png": ["unsure"],
}


@pytest.fixture
def dataset_id(any_db: Database, tmp_path: Path) -> int:
    """Agreed a, open b, contested c, d with no named label, e and f without votes."""
    with any_db.write() as session:
        dataset = register(session, tmp_path, NAMES)
        vote(session, dataset, ANSWERS, add_people(session, 3))
        return dataset.id


def publish(
    any_db: Database,
    dataset_id: int,
    probabilities: Callable[[str], tuple[float, float, float] | None],
) -> int:
    """A published run with the proposals that the function gives by file name."""
    with any_db.write() as session:
        run = ModelRun(
            dataset_id=dataset_id,
            method="test",
            status="published",
            settings={},
            metrics={},
            published_at=utc_now(),
        )
        session.add(run)
        session.flush()
        for image in session.scalars(select(Image).where(Image.dataset_id == dataset_id)):
            p = probabilities(image.filename)
            if p is not None:
                left, center, right = p
                session.add(
                    Proposal(
                        model_run_id=run.id,
                        image_id=image.id,
                        p_left=left,
                        p_center=center,
                        p_right=right,
                    )
                )
        return run.id


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_header_is_the_documented_one(any_db: Database, dataset_id: int) -> None:
    header = next(iter(stream_labels(any_db, dataset_id)))
    assert header == (
        "image_id,filename,label,p_left,p_center,p_right,votes_left,votes_center,votes_right,"
        "votes_unsure,status,source,method\n"
    )
    assert next(iter(stream_votes(any_db, dataset_id))) == (
        "image_id,filename,annotator,answer,created_at,elapsed_ms,mode,blind,proposal_shown,"
        "model_run_id,superseded_at,proposal_withheld,planted,mirrored\n"
    )


def test_each_image_with_votes_has_a_row_and_a_label_only_if_agreed(
    any_db: Database, dataset_id: int
) -> None:
    rows = read("".join(stream_labels(any_db, dataset_id)))
    assert [(r["filename"], r["label"], r["status"]) for r in rows] == [
        ("a.png", "left", "agreed"),
        ("b.png", "", "open"),
        ("c.png", "", "contested"),
        ("d.png", "", "open"),
    ]
    assert {r["source"] for r in rows} == {"votes"}
    a, b, _, d = rows
    assert [a[f"p_{k}"] for k in ("left", "center", "right")] == [
        "0.666667",
        "0.333333",
        "0.000000",
    ]
    assert [b[f"votes_{k}"] for k in ("left", "center", "right", "unsure")] == ["1", "0", "1", "0"]
    assert (d["p_left"], d["p_center"], d["p_right"], d["votes_unsure"]) == ("", "", "", "1")


def test_the_posterior_is_exported_where_it_decides(any_db: Database, dataset_id: int) -> None:
    set_rules(any_db, method="posterior", required_votes=2, vote_cap=3, audit_share=0.0)
    numbers = image_numbers(any_db)
    make_gold(any_db, {numbers["e.png"]: "right", numbers["b.png"]: "right"})
    with any_db.write() as session:
        rebuild(session, dataset_id)
        stored = {
            image.filename: row
            for row, image in session.execute(
                select(Consensus, Image).join(Image, Image.id == Consensus.image_id)
            )
        }
    rows = {row["filename"]: row for row in read("".join(stream_labels(any_db, dataset_id)))}
    assert set(rows) == {"a.png", "b.png", "c.png", "d.png"}
    assert {name: (row["label"], row["method"]) for name, row in rows.items()} == {
        "a.png": (stored["a.png"].label or "", "posterior-1"),
        "b.png": ("right", "gold-1"),
        "c.png": ("", "posterior-1"),
        "d.png": ("", "posterior-1"),
    }
    for name, row in rows.items():
        for label in ("left", "center", "right"):
            assert float(row[f"p_{label}"]) == pytest.approx(
                getattr(stored[name], f"p_{label}"), abs=1e-6
            )
    assert [rows["b.png"][f"p_{k}"] for k in ("left", "center", "right")] == [
        "0.000000",
        "0.000000",
        "1.000000",
    ]
    assert float(rows["a.png"]["p_left"]) > 0.8


def image_numbers(db: Database) -> dict[str, int]:
    with db.read() as session:
        return dict(session.execute(select(Image.filename, Image.id)).all())


def test_proposals_label_what_the_votes_have_not(any_db: Database, dataset_id: int) -> None:
    publish(any_db, dataset_id, lambda name: None if name == "e.png" else (0.125, 0.25, 0.625))
    rows = read("".join(stream_labels(any_db, dataset_id, with_proposals=True)))
    assert [(r["filename"], r["label"], r["status"], r["source"]) for r in rows] == [
        ("a.png", "left", "agreed", "votes"),
        ("b.png", "right", "open", "proposal"),
        ("c.png", "right", "contested", "proposal"),
        ("d.png", "right", "open", "proposal"),
        ("sub/f.png", "right", "open", "proposal"),
    ]
    assert rows[1]["p_right"] == "0.625000"
    assert rows[1]["votes_left"] == "1"


def test_image_with_votes_and_no_proposal_keeps_its_row(any_db: Database, dataset_id: int) -> None:
    publish(any_db, dataset_id, lambda name: (1.0, 0.0, 0.0) if name == "e.png" else None)
    rows = read("".join(stream_labels(any_db, dataset_id, with_proposals=True)))
    sources = {r["filename"]: (r["label"], r["source"]) for r in rows}
    assert sources["b.png"] == ("", "votes")
    assert sources["e.png"] == ("left", "proposal")
    assert "sub/f.png" not in sources


def test_proposal_that_cannot_choose_gives_no_label(any_db: Database, dataset_id: int) -> None:
    publish(any_db, dataset_id, lambda _name: (0.4, 0.2, 0.4))
    rows = read("".join(stream_labels(any_db, dataset_id, with_proposals=True)))
    assert {r["label"] for r in rows if r["source"] == "proposal"} == {""}


def test_last_published_run_counts(any_db: Database, dataset_id: int) -> None:
    publish(any_db, dataset_id, lambda _name: (1.0, 0.0, 0.0))
    publish(any_db, dataset_id, lambda _name: (0.0, 1.0, 0.0))
    with any_db.write() as session:
        run = ModelRun(dataset_id=dataset_id, method="test", settings={}, metrics={})
        session.add(run)  # still training
    rows = read("".join(stream_labels(any_db, dataset_id, with_proposals=True)))
    assert {r["label"] for r in rows if r["source"] == "proposal"} == {"center"}


def test_proposals_must_exist_before_the_first_byte(any_db: Database, dataset_id: int) -> None:
    with pytest.raises(Conflict, match=r"manage\.py propose"):
        stream_labels(any_db, dataset_id, with_proposals=True)


def test_unknown_data_set_is_refused_before_the_first_byte(any_db: Database) -> None:
    with pytest.raises(NotFound):
        stream_labels(any_db, 999)
    with pytest.raises(NotFound):
        stream_votes(any_db, 999)


def test_same_state_gives_the_same_bytes(any_db: Database, dataset_id: int) -> None:
    publish(any_db, dataset_id, lambda _name: (0.1, 0.2, 0.7))
    for export in (
        lambda: stream_labels(any_db, dataset_id, True),
        lambda: stream_votes(any_db, dataset_id),
    ):
        assert "".join(export()) == "".join(export())


def test_votes_after_the_first_byte_are_not_in_the_file(any_db: Database, dataset_id: int) -> None:
    expected = "".join(stream_votes(any_db, dataset_id))
    chunks = stream_votes(any_db, dataset_id)
    begun = next(chunks) + next(chunks)
    with any_db.write() as session:
        first = session.scalars(select(Vote).order_by(Vote.id)).first()
        assert first is not None
        first.superseded_at = utc_now()
    assert begun + "".join(chunks) == expected


def test_every_vote_is_there_with_its_circumstances(any_db: Database, dataset_id: int) -> None:
    run_id = publish(any_db, dataset_id, lambda _name: (1.0, 0.0, 0.0))
    with any_db.write() as session:
        votes = session.scalars(select(Vote).order_by(Vote.id)).all()
        votes[0].superseded_at = START + timedelta(minutes=5, microseconds=7)
        image = session.scalars(select(Image).where(Image.filename == "e.png")).one()
        common = {"campaign_id": dataset_id, "image_id": image.id}
        session.add(
            Vote(
                **common,
                annotator_id=votes[0].annotator_id,
                answer="unsure",
                blind=False,
                request_id="request-1",
                shown_run_id=run_id,
                mirrored=True,
                shown_label="left",
                created_at=START + timedelta(hours=1),
            )
        )
        session.add(
            Vote(
                **common,
                annotator_id=votes[1].annotator_id,
                answer="left",
                blind=True,
                request_id="request-2",
                elapsed_ms=0,
                withheld_label="right",
                created_at=START + timedelta(hours=2),
            )
        )
        count = len(votes) + 2
    rows = read("".join(stream_votes(any_db, dataset_id)))
    assert len(rows) == count
    assert rows[0]["superseded_at"] == "2026-03-02T09:05:00.000007Z"
    assert rows[0]["created_at"] == "2026-03-02T09:00:00.000000Z"
    assert rows[0]["annotator"] == "P0000"
    shown, blind = rows[-2:]
    assert (shown["proposal_shown"], shown["model_run_id"]) == ("left", str(run_id))
    assert (shown["blind"], shown["elapsed_ms"], shown["superseded_at"]) == ("false", "", "")
    assert (blind["blind"], blind["elapsed_ms"], blind["proposal_shown"]) == ("true", "0", "")
    assert (shown["mirrored"], shown["planted"], shown["proposal_withheld"]) == (
        "true",
        "false",
        "",
    )
    assert (blind["mirrored"], blind["proposal_withheld"]) == ("false", "right")


def test_other_data_sets_stay_out(any_db: Database, dataset_id: int, tmp_path: Path) -> None:
    with any_db.write() as session:
        other = register(session, tmp_path, ["z.png"], name="other")
        other_id = other.id
    assert read("".join(stream_labels(any_db, other_id))) == []
    assert read("".join(stream_votes(any_db, other_id))) == []


def test_rows_come_by_code_point_in_chunks(any_db: Database, tmp_path: Path) -> None:
    names = [f"{i:05d}.jpg" for i in range(2100)] + ["B.jpg", "a.jpg", "É.jpg"]
    with any_db.write() as session:
        dataset = register(session, tmp_path, reversed(names))
        vote(session, dataset, dict.fromkeys(names, ("left",)), add_people(session, 1))
        dataset_id = dataset.id
    chunks = list(stream_labels(any_db, dataset_id))
    assert [row["filename"] for row in read("".join(chunks))] == names
    assert len(chunks) == 3


@pytest.fixture
def awkward_id(any_db: Database, tmp_path: Path) -> int:
    """A campaign about awkward names, each labelled left by one vote."""
    with any_db.write() as session:
        dataset = register(session, tmp_path, AWKWARD_NAMES)
        vote(session, dataset, dict.fromkeys(AWKWARD_NAMES, ("left",)), add_people(session, 1))
        return dataset.id


def test_awkward_file_names_survive_a_reader(any_db: Database, awkward_id: int) -> None:
    for text in (
        "".join(stream_labels(any_db, awkward_id)),
        "".join(stream_votes(any_db, awkward_id)),
    ):
        cells = [row["filename"] for row in read(text)]
        assert not [cell for cell in cells if cell[0] in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"]
        assert sorted(map(unguard_formula, cells)) == sorted(AWKWARD_NAMES)
        assert "'plain.png" in cells


def test_what_reads_an_export_finds_each_awkward_name(
    any_db: Database, awkward_id: int, tmp_path: Path
) -> None:
    """The engine, a list of images for a campaign, and gold."""
    path = tmp_path / "labels.csv"
    by_method = stream_aggregation(any_db, *aggregate(any_db, awkward_id, "majority"))
    for chunks in (stream_labels(any_db, awkward_id), by_method):
        text = "".join(chunks)
        path.write_bytes(text.encode())
        assert set(read_filenames(text)) == set(AWKWARD_NAMES)
    assert read_labels(path) == dict.fromkeys(AWKWARD_NAMES, "left")
    assert {line.filename for line in read_gold_csv(text).lines} == set(AWKWARD_NAMES)


@pytest.mark.parametrize(("section", "columns"), [(1, LABEL_COLUMNS), (2, VOTE_COLUMNS)])
def test_every_column_is_documented(section: int, columns: tuple[str, ...]) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs/export.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (?:labels|votes)\.csv$", page, flags=re.MULTILINE)
    cells = [line.split("|")[1] for line in parts[section].splitlines() if line.startswith("| `")]
    assert re.findall(r"`(\w+)`", " ".join(cells)) == list(columns)


def sure_of(filename: str) -> tuple[float, float, float]:
    """Surer from file to file: 0.4 for the first, 0.5 for the second and so on."""
    p = 0.4 + 0.1 * sorted(NAMES).index(filename)
    return (p, (1 - p) / 2, (1 - p) / 2)


def set_thresholds(db: Database, run_id: int, thresholds: dict[str, float | None]) -> None:
    with db.write() as session:
        metrics = {"thresholds": thresholds, "cross_validation": {"n": 80}}
        session.get_one(ModelRun, run_id).metrics = metrics


def test_proposals_below_the_threshold_of_a_precision_label_nothing(
    any_db: Database, dataset_id: int
) -> None:
    run_id = publish(any_db, dataset_id, sure_of)
    set_thresholds(any_db, run_id, {"0.9": 0.55, "0.95": 0.75, "0.99": None})
    labels = {}
    for precision in (None, 0.9, 0.93, 0.95):
        rows = read("".join(stream_labels(any_db, dataset_id, True, precision)))
        assert [row["filename"] for row in rows] == sorted(NAMES)
        labels[precision] = [number for number, row in enumerate(rows) if row["label"]]
    # The first is agreed by votes. For 0.93 the run keeps no threshold: that of 0.95 stands in.
    sure = {0.9: [0, 2, 3, 4, 5], 0.93: [0, 4, 5], 0.95: [0, 4, 5]}
    assert labels == {None: [0, 1, 2, 3, 4, 5], **sure}


@pytest.mark.parametrize(
    ("thresholds", "told"),
    [
        ({"0.9": 0.7, "0.95": 0.8, "0.99": None}, "On 80 labelled .* it reached at most 95%"),
        ({"0.9": None}, "it reached no share at all"),
        ({}, "it reached no share at all"),
    ],
)
def test_a_precision_that_cannot_be_promised_is_refused(
    any_db: Database, dataset_id: int, thresholds: dict[str, float | None], told: str
) -> None:
    run_id = publish(any_db, dataset_id, sure_of)
    set_thresholds(any_db, run_id, thresholds)
    with pytest.raises(Conflict, match=told):
        stream_labels(any_db, dataset_id, True, 0.99)
