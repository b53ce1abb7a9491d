"""Who is flagged: spammers by 60 votes, good people practically never."""

from __future__ import annotations

import numpy as np
import pytest

from labeler.labels import ANSWERS
from labeler.languages.current import in_language
from labeler.statistics.anchoring import measure_anchoring, measure_inserted
from labeler.statistics.annotator_flags import (
    Copying,
    Flag,
    Limits,
    Record,
    flags,
    gold_accuracy,
    recommend_action,
    spammer_score,
    translate_finding,
    without_own,
)
from labeler.statistics.dawid_skene import fit_skills
from labeler.statistics.posterior import Evidence, label_posterior
from labeler.statistics.vote_arrays import Votes
from rotation.data.labels import LABELS
from tests.labeler.statistics.simulated_class import CONFUSIONS, draw, draw_votes

NO_ANSWERS = np.empty(0, dtype=int)


def a_record(kind: str, n: int, seed: int, gold: int = 0) -> Record:
    """n answers to images whose posteriors without this person are calibrated: 0.6 to 1."""
    rng = np.random.default_rng([seed, n])
    top = rng.uniform(0.6, 1, n)
    label = draw(np.tile([0.3, 0.4, 0.3], (n, 1)), rng)
    posteriors = np.repeat((1 - top)[:, None] / 2, 3, axis=1)
    posteriors[np.arange(n), label] = top
    truth = draw(posteriors, rng)
    confusion = np.array(CONFUSIONS[kind])
    known = draw(np.full((gold, 3), 1 / 3), rng)
    right = int((draw(confusion[known], rng) == known).sum()) if gold else 0
    elapsed = rng.lognormal(np.log(1100), 0.5, n)
    return Record(draw(confusion[truth], rng), posteriors, elapsed, right, gold)


def flagged_share(kind: str, n: int, people: int, gold: int = 0) -> float:
    return float(np.mean([bool(flags(a_record(kind, n, seed, gold))) for seed in range(people)]))


@pytest.mark.parametrize("n", [20, 60, 120, 200])
def test_good_people_are_practically_never_flagged(n: int) -> None:
    assert flagged_share("good", n, 500, gold=n // 10 + 5) <= 0.002
    assert flagged_share("lopsided but good", n, 500, gold=n // 10 + 5) <= 0.006


@pytest.mark.parametrize("kind", ["spammer", "one-sided", "one key", "swapped"])
def test_useless_people_are_paused_by_60_votes(kind: str) -> None:
    people = [recommend_action(flags(a_record(kind, 60, seed))) for seed in range(200)]
    assert people.count("pause") >= 190


def test_who_sees_too_much_center_is_flagged_as_one_sided() -> None:
    found = [flags(a_record("centrist", 120, seed)) for seed in range(100)]
    codes = [{flag.code for flag in person} for person in found]
    assert sum("one_sided" in person for person in codes) >= 90
    sentences = [flag.sentence for flag in found[0] if flag.code == "one_sided"]
    assert "the answer “center” for" in sentences[0]


def test_careless_people_are_not_taken_for_spammers() -> None:
    found = [flags(a_record("careless", 120, seed)) for seed in range(200)]
    assert not any(flag.code in ("random", "swapped") for person in found for flag in person)


def test_a_whole_class_with_real_posteriors() -> None:
    """The posteriors come from the votes of the class itself, spammers among them."""
    kinds = (
        ["good"] * 24 + ["careless"] * 6 + ["centrist"] * 4 + ["spammer"] * 3 + ["one-sided"] * 3
    )
    for seed in range(5):
        votes, _ = draw_votes(kinds, 800, 3, seed)  # 60 votes a person
        skills = fit_skills(votes, 800, len(kinds))
        for person, kind in enumerate(kinds):
            rows = np.flatnonzero(votes.annotator == person)
            answers = votes.answer[rows]
            posteriors = skills.posteriors[votes.image[rows]]
            rest = without_own(posteriors, answers, skills.confusions[person])
            found = recommend_action(flags(Record(answers, rest)))
            if kind in ("spammer", "one-sided"):
                assert found == "pause", (seed, person)
            if kind == "good":
                assert found == "ok", (seed, person)


@pytest.mark.parametrize("shares", [(0.33, 0.34, 0.33), (0.1, 0.8, 0.1), (0.45, 0.1, 0.45)])
def test_a_class_whose_images_are_all_different_is_not_flagged(
    shares: tuple[float, float, float],
) -> None:
    """At the beginning of a large data set nobody has seen what somebody else has seen."""
    rng = np.random.default_rng(0)
    people, each = 16, 500
    truth = draw(np.tile(shares, (people * each, 1)), rng)
    answers = draw(np.array(CONFUSIONS["good"])[truth], rng)
    votes = Votes(np.arange(people * each), np.repeat(np.arange(people), each), answers)
    skills = fit_skills(votes, people * each, people)
    for person in range(people):
        rows = np.flatnonzero(votes.annotator == person)
        posteriors = skills.posteriors[rows]
        rest = without_own(posteriors, answers[rows], skills.confusions[person])
        assert flags(Record(answers[rows], rest)) == []


def test_a_spammer_is_found_by_the_few_images_that_others_have_seen() -> None:
    few, many = a_record("spammer", 40, seed=1), np.full((400, 3), 1 / 3)
    answers = np.concatenate([few.answers, np.random.default_rng(1).integers(0, 3, 400)])
    found = flags(Record(answers, np.concatenate([few.posteriors, many])))
    assert [flag.code for flag in found] == ["random"]


def test_always_unsure_is_found_if_the_others_are_sure() -> None:
    unsure = np.full(40, ANSWERS.index("unsure"))
    sure = a_record("good", 40, seed=1).posteriors
    assert [flag.code for flag in flags(Record(unsure, sure))] == ["random"]
    assert flags(Record(unsure, np.full((40, 3), 1 / 3))) == []


def test_who_is_often_unsure_and_otherwise_right_is_not_flagged() -> None:
    truth = np.arange(40) % 3
    answers = np.where(np.arange(40) < 18, ANSWERS.index("unsure"), truth)
    assert flags(Record(answers, 0.94 * np.eye(3)[truth] + 0.02)) == []


@pytest.mark.parametrize("center", [0.8, 0.9])
def test_random_keys_are_found_if_most_images_have_one_label(center: float) -> None:
    side = (1 - center) / 2
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth = draw(np.tile([side, center, side], (40, 1)), rng)
        record = Record(rng.integers(0, 3, 40), 0.94 * np.eye(3)[truth] + 0.02)
        assert "random" in {flag.code for flag in flags(record)}


def test_runs_that_the_images_warrant_are_no_pattern() -> None:
    central = np.tile([0.005, 0.99, 0.005], (60, 1))
    assert flags(Record(np.ones(60, dtype=int), central)) == []


def test_a_long_run_on_mixed_images_is_monotone() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 80)
    answers = truth.copy()
    answers[40:60] = 1  # twenty times center in the middle of good work
    codes = {flag.code for flag in flags(Record(answers, 0.94 * np.eye(3)[truth] + 0.02))}
    assert "monotone" in codes
    assert "random" not in codes


def test_too_fast() -> None:
    record = a_record("good", 60, seed=1)
    hasty = Record(record.answers, record.posteriors, np.where(np.arange(60) < 40, 180.0, 900.0))
    assert [flag.code for flag in flags(hasty)] == ["too_fast"]
    assert "0.2 s" in flags(hasty)[0].sentence
    grid = Record(record.answers, record.posteriors, np.full(60, np.nan))
    assert flags(grid) == []


def test_low_gold_needs_evidence() -> None:
    def codes(right: int, asked: int) -> list[str]:
        record = Record(NO_ANSWERS, np.empty((0, 3)), gold_right=right, gold_asked=asked)
        return [flag.code for flag in flags(record)]

    assert codes(0, 4) == []
    assert codes(0, 5) == ["low_gold"]
    assert codes(4, 5) == []
    assert codes(6, 10) == []
    assert codes(20, 50) == ["low_gold"]


def test_standing() -> None:
    assert recommend_action([]) == "ok"
    assert recommend_action([Flag("too_fast", "")]) == "warn"
    assert recommend_action([Flag("too_fast", ""), Flag("monotone", "")]) == "pause"
    assert recommend_action([Flag("random", "")]) == "pause"


def test_information_is_0_for_a_spammer_and_1_for_a_perfect_person() -> None:
    assert spammer_score(np.array(CONFUSIONS["spammer"])) == 0
    assert spammer_score(np.eye(3, 4)) == 1
    assert 0.5 < spammer_score(np.array(CONFUSIONS["good"])) < 1


def test_the_own_vote_is_taken_out_exactly() -> None:
    votes, _ = draw_votes(["good"] * 5, 200, 2, seed=1)
    skills = fit_skills(votes, 200, 5)
    rows = np.flatnonzero(votes.annotator == 0)
    posteriors = skills.posteriors[votes.image[rows]]
    rest = without_own(posteriors, votes.answer[rows], skills.confusions[0])
    others = np.flatnonzero((votes.annotator != 0) & np.isin(votes.image, votes.image[rows]))
    for row, image in enumerate(votes.image[rows]):
        expected = skills.class_prior.copy()
        for vote in others[votes.image[others] == image]:
            expected *= skills.confusions[votes.annotator[vote], :, votes.answer[vote]]
        assert rest[row] == pytest.approx(expected / expected.sum())


def test_the_own_vote_beside_a_proposal_is_taken_out_exactly() -> None:
    """Or whoever follows a little would look as if all others disagreed with them."""
    plain, _ = draw_votes(["good"] * 5, 200, 2, seed=1)
    shown = np.random.default_rng(2).integers(-1, 3, len(plain.answer))
    votes = Votes(plain.image, plain.annotator, plain.answer, shown)
    prior = np.full((200, 3), 1 / 3)
    skills = fit_skills(votes, 200, 5, prior=prior)
    rows = np.flatnonzero(votes.annotator == 0)
    rest = without_own(
        skills.posteriors[votes.image[rows]],
        votes.answer[rows],
        skills.confusions[0],
        shown[rows],
        float(skills.copy_rates[0]),
    )
    others = np.flatnonzero((votes.annotator != 0) & np.isin(votes.image, votes.image[rows]))
    for row, image in enumerate(votes.image[rows]):
        evidence = [
            Evidence(
                ANSWERS[votes.answer[vote]],
                tuple(map(tuple, skills.confusions[votes.annotator[vote]])),
                LABELS[shown[vote]] if shown[vote] >= 0 else None,
                float(skills.copy_rates[votes.annotator[vote]]),
            )
            for vote in others[votes.image[others] == image]
        ]
        assert rest[row] == pytest.approx(label_posterior((1 / 3, 1 / 3, 1 / 3), evidence))


def test_gold_accuracy() -> None:
    record = Record(
        np.array([0, 1]), np.array([[1.0, 0, 0], [1.0, 0, 0]]), gold_right=3, gold_asked=4
    )
    assert gold_accuracy(record).estimate == 0.75


def test_a_record_must_fit() -> None:
    with pytest.raises(ValueError, match="2 answers, posteriors"):
        Record(np.array([0, 1]), np.empty((1, 3)))


def followers(rate: float, n: int, people: int) -> float:
    """The share of people flagged as followers, who repeat this share of n proposals unseen.

    Three in four proposals are shown. The model is right in 80 % of the images, the people in 85 %.
    """
    flagged = 0
    for seed in range(people):
        rng = np.random.default_rng([seed, n, int(100 * rate)])
        record = a_record("good", n, seed)
        truth = draw(np.full((n, 3), 1 / 3), rng)
        proposal = np.where(rng.random(n) < 0.8, truth, (truth + rng.integers(1, 3, n)) % 3)
        own = np.where(rng.random(n) < 0.85, truth, (truth + rng.integers(1, 3, n)) % 3)
        blind = rng.random(n) < 0.25
        answer = np.where(~blind & (rng.random(n) < rate), proposal, own)
        found = measure_anchoring(answer, proposal, blind)
        copying = Copying(found.copy_rate, int((~blind).sum()), int(blind.sum()))
        with_copying = Record(record.answers, record.posteriors, record.elapsed_ms, shown=copying)
        flagged += "follower" in {flag.code for flag in flags(with_copying)}
    return flagged / people


def test_followers_are_flagged_and_independent_people_are_not() -> None:
    assert followers(0.9, 200, 200) >= 0.95
    assert followers(0.0, 200, 500) <= 0.005
    assert followers(0.1, 200, 500) <= 0.01, "a little copying is below the limit"


def test_few_votes_flag_no_follower() -> None:
    assert followers(0.9, 16, 200) <= 0.02
    assert followers(0.0, 16, 200) == 0


def planted(followed: int, asked: int, base: int = 40) -> Copying:
    """Copying of inserted wrong suggestions; one blind person in ten makes the same error."""
    answer = np.where(np.arange(asked) < followed, 1, 0)
    inserted, truth = np.ones(asked, dtype=int), np.zeros(asked, dtype=int)
    blind = np.where(np.arange(base) < base // 10, 1, 0)
    found = measure_inserted(answer, inserted, truth, blind, np.zeros(base, dtype=int))
    return Copying(found.copy_rate, asked, base)


@pytest.mark.parametrize(
    ("followed", "asked", "base", "is_flagged"),
    [
        (1, 1, 40, False),
        (4, 4, 40, False),
        (9, 10, 40, True),
        (1, 10, 40, False),
        (9, 10, 0, False),
    ],
)
def test_repeated_wrong_suggestions_flag_a_follower(
    followed: int, asked: int, base: int, is_flagged: bool
) -> None:
    good = a_record("good", 60, 3)
    copying = planted(followed, asked, base)
    record = Record(good.answers, good.posteriors, good.elapsed_ms, inserted=copying)
    found = [flag for flag in flags(record) if flag.code == "follower"]
    assert bool(found) == is_flagged
    if is_flagged:
        assert copying.copy_rate.low > Limits().copy_limit
        assert found[0].sentence.startswith("Repeats suggestions: an estimated 89 % of them (")
        assert recommend_action(found) == "warn", "one such flag pauses nobody"


def test_a_finding_is_told_in_the_language_of_the_reader() -> None:
    """It is stored in English. A reason in a person's own words stays as it is."""
    good = a_record("good", 60, 3)
    record = Record(good.answers, good.posteriors, inserted=planted(9, 10, 40))
    english = flags(record)[0].sentence
    slow = "Half of the answers came within 0.2 s after the image appeared."
    assert translate_finding(english) == english
    with in_language("de"):
        assert translate_finding(english).startswith("Übernimmt Vorschläge: schätzungsweise 89 %")
        assert "innerhalb von 0,2 s" in translate_finding(slow)
        one_sided = "Gives the answer “left” for 32 % of the images that have another label."
        assert "„links“ bei 32 %" in translate_finding(one_sided)
        assert translate_finding("You are too fast.") == "You are too fast."
