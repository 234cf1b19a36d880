"""A model card takes figures between its marks, and nothing else of it changes."""

from __future__ import annotations

from typing import Any

import pytest

from facegpt.evaluation.audit import MEASURES
from facegpt.evaluation.card import CardError, audit_table, figures_table, marks, meaning, with_section

BEGIN, END = marks("rendered")
CARD = f"# A model\n\n{BEGIN}\n{END}\n\nThe rest.\n"


def test_what_stands_between_the_marks_is_replaced_and_twice_is_once() -> None:
    once = with_section(CARD, "rendered", "| a |")
    assert once == f"# A model\n\n{BEGIN}\n\n| a |\n\n{END}\n\nThe rest.\n"
    assert with_section(once, "rendered", "| a |") == once
    assert "| a |" not in with_section(once, "rendered", "| b |")


@pytest.mark.parametrize("card", ["# A model\n", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", CARD + CARD])
def test_a_card_without_a_clear_place_is_told_what_to_add(card: str) -> None:
    with pytest.raises(CardError, match="add once the lines") as error:
        with_section(card, "rendered", "| a |")
    assert BEGIN in str(error.value) and END in str(error.value)


def test_sections_are_apart() -> None:
    begin, end = marks("audit")
    both = with_section(f"{CARD}{begin}\n{end}\n", "audit", "| b |")
    assert both.startswith(CARD) and "| b |" in both


def test_a_group_that_lacks_a_figure_has_an_empty_cell() -> None:
    table = figures_table({"o|ne": {"faces": 3, "yaw_error_deg": 4.256}, "two": {"faces": 1000}})
    assert table.splitlines() == [
        r"| measure | o\|ne | two |",
        "| --- | --- | --- |",
        "| faces | 3 | 1000 |",
        "| yaw, mean absolute error, degrees | 4.26 |  |",
    ]


def test_an_audit_tells_changes_with_their_errors() -> None:
    values: dict[str, Any] = {
        f"{name}{end}": value
        for name in MEASURES
        for end, value in (("", 3.5), ("_change", 0.25), ("_change_se", 0.0512))
    }
    header, _, row = audit_table({"skin tone: light to dark": values}).splitlines()
    assert header.count("|") == row.count("|") == 8
    assert row.startswith("| skin tone: light to dark | 3.5 | +0.25 ± 0.051 |")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nme_percent_jaw", "landmark NME, %, jaw"),
        (
            "nme_box_percent_yaw_30_60",
            "landmark error, % of the size of their box, turned by 30 to 60 degrees",
        ),
        ("faces_px_256_up", "found faces of 256 or more px"),
        ("action_auc_jawOpen", "ROC AUC of jawOpen"),
        (
            "chat_balanced_is the chin up",
            '"is the chin up?", put to as many faces of each answer, answered rightly',
        ),
    ],
)
def test_figures_of_a_family_have_words(name: str, words: str) -> None:
    assert meaning(name) == words


def test_a_figure_without_words_is_an_error() -> None:
    with pytest.raises(KeyError, match="mystery"):
        meaning("mystery")
