"""Filters find exactly the images that they describe, and their numbers are the dashboards'."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import and_, select

from labeler.campaigns import service as campaigns
from labeler.campaigns.service import CampaignPlan, get_campaign
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import NotFound
from labeler.images import browsing
from labeler.images.browsing import browse, count_exactly, find_relaxations, tally
from labeler.images.filtering import STATUSES, ImageFilter, Range, load_scope
from labeler.labels import likeliest_label
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.proposals import Proposal
from labeler.rules.campaign_rules import Rules
from labeler.rules.image_selection_spec import ImageSelection
from labeler.rules.validation import RuleError
from rotation.data.labels import LABELS
from tests.conftest import MakeAnnotator
from tests.labeler.images.labelled_images import GOLD, NAMES, LabelledImages, label_images


@pytest.fixture
def labelled(
    any_db: Database, tmp_path: Path, make_annotator: MakeAnnotator, settings: Settings
) -> LabelledImages:
    return label_images(any_db, tmp_path / "faces", make_annotator, settings)


def find(db: Database, wanted: ImageFilter, campaign_id: int = 1) -> list[int]:
    """The ids of all images that a filter finds."""
    with db.read() as session:
        scope = load_scope(session, get_campaign(session, campaign_id))
        found = browse(session, scope, wanted, tally(session, scope))
    assert found.count == len(found.images)
    return [one.image.id for one in found.images]


def expected(db: Database, wanted: ImageFilter, campaign_id: int = 1) -> list[int]:
    """The same, by looking at each image."""
    with db.read() as session:
        run_id = load_scope(session, get_campaign(session, campaign_id)).run_id
        mine = and_(Consensus.image_id == Image.id, Consensus.campaign_id == campaign_id)
        said = and_(Proposal.image_id == Image.id, Proposal.model_run_id == run_id)
        rows = session.execute(
            select(Image, Consensus, Proposal)
            .outerjoin(Consensus, mine)
            .outerjoin(Proposal, said)
            .order_by(Image.id)
        ).all()
    return [image.id for image, row, said in rows if _meets(image, row, said, wanted)]


def _meets(image: Any, row: Any, said: Any, wanted: ImageFilter) -> bool:
    chances = (said.p_left, said.p_center, said.p_right) if said else None
    proposed = likeliest_label(chances) if chances else None
    label = row.label if row else None
    statuses = {
        None: True,
        "selected": row is not None,
        "undecided": bool(row and row.status == "contested" and row.method != "decision-1"),
        "outside": row is None and image.status == "ok",
        "broken": image.status == "broken",
        "unchecked": image.status == "unchecked",
    }
    checks = [
        statuses.get(wanted.status, bool(row and row.status == wanted.status)),
        wanted.search.lower() in image.filename.lower() or wanted.search == str(image.id),
        wanted.label in (None, label),
        _inside(wanted.probability, row.probability if row else None),
        wanted.proposal in (None, proposed or "none"),
        _inside(wanted.confidence, max(chances) if chances else None),
        wanted.differs is None
        or (bool(label and proposed) and (label != proposed) == wanted.differs),
        wanted.gold is None or bool(row and row.method == "gold-1") == wanted.gold,
        wanted.identity in (None, image.identity),
        wanted.partition in (None, image.partition),
        _inside(wanted.yaw, image.yaw_deg),
    ]
    bald = wanted.attributes.get("Bald")
    bits = image.attribute_bits
    return all(checks) and (bald is None or (bits is not None and bool(bits & 1) == bald))


def _inside(limits: Range, value: float | None) -> bool:
    if limits.is_open:
        return True
    low = -1e9 if limits.low is None else limits.low
    high = 1e9 if limits.high is None else limits.high
    return value is not None and low <= value <= high


FILTERS = [
    *(ImageFilter(status=status) for status in STATUSES),
    *(ImageFilter(label=label) for label in LABELS),
    *(ImageFilter(proposal=label) for label in (*LABELS, "none")),
    ImageFilter(probability=Range(0.9)),
    ImageFilter(confidence=Range(0.6, 0.8)),
    ImageFilter(confidence=Range(None, 0.5)),
    ImageFilter(differs=True),
    ImageFilter(differs=False),
    ImageFilter(gold=True),
    ImageFilter(gold=False),
    ImageFilter(identity=1),
    ImageFilter(identity=2**31 - 1),
    ImageFilter(partition=0),
    ImageFilter(yaw=Range(-20, 20)),
    ImageFilter(yaw=Range(None, -20)),
    ImageFilter(attributes={"Bald": True}),
    ImageFilter(attributes={"Bald": False}),
    ImageFilter(search="000"),
    ImageFilter(search="00000"),
    ImageFilter(search="A_B"),
    ImageFilter(search="50%"),
    ImageFilter(search="5"),
    ImageFilter(search="9" * 19),
    ImageFilter(search="\\"),
    ImageFilter(status="open", label="left"),
    ImageFilter(status="outside", gold=True),
    ImageFilter(status="selected", yaw=Range(0), gold=False, attributes={"Bald": True}),
    ImageFilter(status="agreed", differs=True, identity=0),
    ImageFilter(proposal="none", status="open", partition=0),
    ImageFilter(search="jpg", status="contested", proposal="left", confidence=Range(0.5)),
]


def test_filters_find_what_they_describe(any_db: Database, labelled: LabelledImages) -> None:
    for wanted in (ImageFilter(), *FILTERS):
        assert find(any_db, wanted) == expected(any_db, wanted), wanted


def set_fields(wanted: ImageFilter) -> dict[str, Any]:
    plain = {one.name: getattr(wanted, one.name) for one in fields(wanted)}
    return {name: value for name, value in plain.items() if value != getattr(ImageFilter(), name)}


def pairs() -> list[ImageFilter]:
    """Every two conditions of `FILTERS` that a filter can have at once."""
    single = [one for one in FILTERS if len(one.names) == 1]
    return [
        replace(one, **set_fields(other))
        for one, other in combinations(single, 2)
        if one.names != other.names
    ]


@pytest.mark.slow
def test_any_two_conditions_find_what_they_describe(
    any_db: Database, labelled: LabelledImages
) -> None:
    listed = ImageSelection(filenames=("000001.jpg", "000008.jpg", NAMES[13]))
    made = campaigns.create_campaign(
        any_db, labelled.dataset_id, CampaignPlan("two", Rules(), listed)
    )
    for campaign_id in (1, made):
        for wanted in pairs():
            found = find(any_db, wanted, campaign_id)
            assert found == expected(any_db, wanted, campaign_id), wanted
            if not found:
                with any_db.read() as session:
                    scope = load_scope(session, get_campaign(session, campaign_id))
                    relaxed = find_relaxations(session, scope, wanted)
                for name in wanted.names:
                    remaining = expected(any_db, wanted.without(name), campaign_id)
                    assert (name in relaxed) == bool(remaining), wanted


def test_the_filters_tell_the_states_apart(
    db: Database, tmp_path: Path, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    label_images(db, tmp_path / "faces", make_annotator, settings)
    sizes = {status: len(find(db, ImageFilter(status=status))) for status in STATUSES}
    assert sizes == {
        "selected": 14,
        "open": 7,
        "agreed": 4,
        "contested": 3,
        "undecided": 2,
        "outside": 0,
        "broken": 1,
        "unchecked": 1,
    }
    assert len(find(db, ImageFilter())) == 16
    assert [len(find(db, one)) for one in FILTERS if one.search == "50%"] == [1]


def test_the_numbers_are_those_of_the_dashboards(
    any_db: Database, labelled: LabelledImages
) -> None:
    told = 0
    with any_db.read() as session:
        scope = load_scope(session, get_campaign(session, 1))
        counted = tally(session, scope)
        for wanted in (ImageFilter(), *FILTERS, ImageFilter(status="agreed", label="left")):
            number = count_exactly(wanted, counted)
            if number is not None:
                told += 1
                assert browse(session, scope, wanted, counted).count == number, wanted
    assert told == 1 + len(STATUSES) - 1 + len(LABELS) + 1 + 1


def test_images_outside_of_a_campaign(any_db: Database, labelled: LabelledImages) -> None:
    listed = ImageSelection(filenames=("000001.jpg", "000002.jpg"))
    made = campaigns.create_campaign(
        any_db, labelled.dataset_id, CampaignPlan("two", Rules(), listed)
    )
    assert find(any_db, ImageFilter(status="selected"), made) == [labelled.ids[1], labelled.ids[2]]
    assert len(find(any_db, ImageFilter(status="outside"), made)) == 12
    assert find(any_db, ImageFilter(gold=True), made) == []


@pytest.mark.parametrize("counted_up_to", [5_000, 3], ids=["all are listed", "many images"])
@pytest.mark.parametrize("wanted", [ImageFilter(), ImageFilter(status="selected")], ids=str)
def test_pages_follow_each_other(
    any_db: Database,
    labelled: LabelledImages,
    monkeypatch: pytest.MonkeyPatch,
    counted_up_to: int,
    wanted: ImageFilter,
) -> None:
    every = expected(any_db, wanted)
    monkeypatch.setattr(browsing, "COUNTED_UP_TO", counted_up_to)
    with any_db.read() as session:
        scope = load_scope(session, get_campaign(session, 1))
        counted = tally(session, scope)
        seen: list[list[int]] = []
        after = 0
        while True:
            page = browse(session, scope, wanted, counted, after=after, size=4)
            assert page.count == len(every)
            assert page.has_previous == bool(seen)
            seen.append([one.image.id for one in page.images])
            if not page.has_next:
                break
            after = seen[-1][-1]
        assert [image_id for one in seen for image_id in one] == every
        back = browse(session, scope, wanted, counted, before=seen[2][0], size=4)
        assert [one.image.id for one in back.images] == seen[1]
        assert back.has_previous
        assert back.has_next
        last = browse(session, scope, wanted, counted, before=2**31 - 1, size=4)
        assert [one.image.id for one in last.images] == every[-4:]
        assert not last.has_next
        behind = browse(session, scope, wanted, counted, after=2**31 - 1, size=4)
        assert (list(behind.images), behind.count, behind.has_next) == ([], len(every), False)


def test_an_empty_result_tells_which_condition_to_leave_out(
    any_db: Database, labelled: LabelledImages
) -> None:
    with any_db.read() as session:
        scope = load_scope(session, get_campaign(session, 1))

        def relaxed(**conditions: Any) -> list[str]:
            return find_relaxations(session, scope, ImageFilter(**conditions))

        assert relaxed(status="open", label="left") == ["status", "label"]
        assert relaxed(identity=99) == ["identity"]
        assert relaxed(label="right", identity=99) == ["identity"]
        assert relaxed(identity=99, partition=7) == []
        bald = {"Bald": True}
        assert relaxed(identity=1, partition=2, attributes=bald) == ["identity", "partition"]
        odd = relaxed(search=f"{GOLD:06d}", attributes=bald)
        assert odd == ["search", "attribute-Bald"]


def test_a_run_without_proposals_is_no_error(any_db: Database, labelled: LabelledImages) -> None:
    from labeler.models.proposals import ModelRun

    with any_db.write() as session:
        for run in session.scalars(select(ModelRun)):
            run.status, run.published_at, run.problem = "failed", None, "stopped"
    assert find(any_db, ImageFilter(proposal="left")) == []
    assert find(any_db, ImageFilter(differs=False)) == []
    assert find(any_db, ImageFilter(confidence=Range(0.1))) == []
    assert len(find(any_db, ImageFilter(proposal="none"))) == 16


def test_an_unknown_attribute_is_told(any_db: Database, labelled: LabelledImages) -> None:
    with pytest.raises(NotFound, match="no attribute 'Tall'"):
        find(any_db, ImageFilter(attributes={"Tall": True}))


@pytest.mark.parametrize(
    ("conditions", "field"),
    [
        ({"status": "settled"}, "status"),
        ({"label": "unsure"}, "label"),
        ({"proposal": "up"}, "proposal"),
        ({"identity": 2**31}, "identity"),
        ({"identity": -1}, "identity"),
        ({"partition": 2**15}, "partition"),
        ({"search": "a\0b"}, "search"),
        ({"search": "a" * 401}, "search"),
        ({"probability": Range(1.5)}, "probability_from"),
        ({"confidence": Range(float("nan"))}, "confidence_from"),
        ({"yaw": Range(None, 1e300)}, "yaw_to"),
        ({"yaw": Range(20, -20)}, "yaw_to"),
    ],
)
def test_wrong_values_are_told_by_field(conditions: dict[str, Any], field: str) -> None:
    with pytest.raises(RuleError) as caught:
        ImageFilter(**conditions)
    assert [one.field for one in caught.value.problems] == [field]


def test_names_with_signs_of_patterns_are_found_as_they_stand(
    any_db: Database, labelled: LabelledImages
) -> None:
    assert find(any_db, ImageFilter(search="a_b 50%")) == [labelled.ids[13]]
    assert find(any_db, ImageFilter(search=NAMES[14])) == [labelled.ids[14]]
