"""Rules that cannot be: each problem as values, and in words where it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler.languages.current import in_language
from labeler.rules.campaign_rules import ORDERS, Rules, read_rules
from labeler.rules.image_selection_spec import ImageSelection
from labeler.rules.validation import Problem, RuleError
from labeler.web.campaigns import rule_fields


def problems_of(texts: dict[str, str], base: Rules | None = None) -> list[Problem]:
    with pytest.raises(RuleError) as caught:
        read_rules(texts, base)
    return list(caught.value.problems)


@given(st.text().filter(lambda text: text.strip() not in ORDERS))
def test_any_text_comes_back_whole(text: str) -> None:
    assert problems_of({"order": text}) == [Problem(field="order", given=text, allowed=ORDERS)]


@pytest.mark.parametrize("text", ["a; b", "it is 3", "7 is 1; 9", "'", "order is 'x'; none"])
def test_a_message_says_the_whole_value_and_all_that_is_allowed(text: str) -> None:
    [problem] = problems_of({"order": text})
    assert str(problem) == f"order is {text!r}; allowed are {', '.join(ORDERS)}"
    assert rule_fields.rule_messages(RuleError([problem])) == {
        "order": f"Allowed are {', '.join(ORDERS)}."
    }


def test_all_problems_are_told_at_once_as_they_were_written() -> None:
    found = problems_of(
        {"threshold": "120 %", "training": "1.5", "named": "perhaps", "bling": "1", "order": "x"}
    )
    assert {one.field: one.given for one in found} == {
        "threshold": "120 %",
        "training": "1.5",
        "named": "perhaps",
        "rule": "bling",
        "order": "x",
    }
    assert {one.field: one.bounds for one in found}["threshold"] == (0.5, 0.9999)


def test_a_bound_that_follows_another_rule_is_that_of_the_new_value() -> None:
    [problem] = problems_of({"required_votes": "9"})
    assert (problem.field, problem.given, problem.bounds) == ("vote_cap", 7, (9, 99))
    [problem] = problems_of({"required_votes": "0"})
    assert problem.field == "required_votes"


def test_percent_fields_have_their_bounds_in_percent_and_others_have_not() -> None:
    with pytest.raises(RuleError) as caught:
        rule_fields.parse_rules({"threshold": "3", "blind_share": "101", "required_votes": "100"})
    assert rule_fields.rule_messages(caught.value) == {
        "threshold": "A number from 50 to 99.99 is needed.",
        "blind_share": "A number from 0 to 100 is needed.",
        "required_votes": "A whole number from 1 to 99 is needed.",
    }


def test_a_selection_names_all_its_parts_that_are_wrong() -> None:
    with pytest.raises(RuleError) as caught:
        ImageSelection(partitions=(12,), sample=0, seed=-1, filenames=())
    assert [one.sentence() for one in caught.value.problems] == [
        "A whole number from 0 to 9 is needed.",
        "A whole number from 1 to 1000000000 is needed.",
        "A whole number from 0 to 2147483647 is needed.",
        "At least one name is needed.",
    ]


def test_what_is_needed_is_told_in_the_language_of_the_moment() -> None:
    with pytest.raises(RuleError) as caught:
        ImageSelection(sample=0, filenames=())
    with in_language("de"):
        assert [one.sentence() for one in caught.value.problems] == [
            "Eine ganze Zahl von 1 bis 1000000000 ist nötig.",
            "Mindestens ein Name ist nötig.",
        ]


def test_names_that_are_unknown_are_told_with_those_there_are() -> None:
    with pytest.raises(RuleError, match="rule is 'bling'; allowed are order, method"):
        Rules.from_dict({"bling": 1})
    with pytest.raises(RuleError, match="part of a selection is 'sort'; allowed are partitions"):
        ImageSelection.from_dict({"sort": 1})
