"""The check of the documentation's sentences: what it counts, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.tools.check_prose import check_paths, check_sentences, sentences_of

LONG = "word " * 40 + "end."  # 41 words


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.md"


def texts(page: Path, markdown: str) -> list[str]:
    page.write_text(markdown)
    return [each.text for each in sentences_of(page)]


def test_a_sentence_of_more_than_40_words_is_named_with_file_line_and_text(page: Path) -> None:
    page.write_text(f"# Title\n\nA short one. Another\nshort one.\n{LONG}\n")
    (problem,) = check_sentences(page)
    assert problem.line == 5
    assert problem.text == f"41 words, at most 40: {LONG}"
    assert problem.show(page.parent).startswith("page.md:5: 41 words")


def test_40_words_are_allowed(page: Path) -> None:
    page.write_text(f"Short. Short. {LONG.removeprefix('word ')}")
    assert check_sentences(page) == []


def test_a_median_of_20_words_is_refused_and_19_are_allowed(page: Path) -> None:
    page.write_text("Short one. " + "word " * 19 + "end. " + "word " * 29 + "end.")
    (problem,) = check_sentences(page)
    assert "the median sentence has 20 words" in problem.text
    page.write_text("Short one. " + "word " * 18 + "end. " + "word " * 29 + "end.")
    assert check_sentences(page) == []


def test_items_of_lists_and_quotations_are_prose(page: Path) -> None:
    page.write_text(f"- One.\n- {LONG}\n- Two.\n\n> One.\n> {LONG}\n")
    assert [each.line for each in check_sentences(page)] == [2, 6]


@pytest.mark.parametrize(
    "markdown",
    [
        f"# {LONG}",
        f"    {LONG}",
        f"```\n{LONG}\n```",
        f"| a |\n|---|\n| {LONG} |",
        f"[A link](https://example.org/{LONG.replace(' ', '/')}).",
        f"![{LONG}](image.png)",
        f"<!-- {LONG} -->",
    ],
    ids=["heading", "code", "fence", "table", "target", "image", "comment"],
)
def test_what_is_no_prose_is_left_out(page: Path, markdown: str) -> None:
    page.write_text(markdown)
    assert check_sentences(page) == []


def test_code_and_formulas_count_as_one_word(page: Path) -> None:
    page.write_text("Run `make run and more. Then stop` with $a + b \\cdot c. d$ now.")
    (sentence,) = sentences_of(page)
    assert sentence.words == 5


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two? Three! Four", 4),
        ("`make test` runs. `make lint` checks.", 2),
        ("torch is needed. torchvision too.", 2),
        ("Asperti et al. measured 3.5 degrees, i.e. little.", 1),
        ('He said "no." Then he left (at once.) Then nothing.', 3),
        ("A table, e.g. this: one, two.", 1),
    ],
)
def test_where_sentences_end(page: Path, text: str, count: int) -> None:
    assert len(texts(page, text)) == count


@pytest.mark.parametrize(
    "markdown",
    [
        "Use `../data/faces`.",
        "    python manage.py demo ../shared/data\n",
        "```\ncd ../elsewhere\n```",
        "It lies in /home/ada/faces.",
        "    ls /Users/ada\n",
    ],
)
def test_paths_outside_the_repository_are_refused(page: Path, markdown: str) -> None:
    page.write_text(f"Text.\n\n{markdown}")
    problems = check_paths(page)
    assert problems
    assert all(each.line > 2 for each in problems)


def test_paths_that_everybody_has_are_allowed(page: Path) -> None:
    page.write_text(
        "`~/CelebA`, `docs/img/a.png`, `$FACES/img`, <https://example.org/home/ada>, a ... b.\n"
    )
    assert check_paths(page) == []
