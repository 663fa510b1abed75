"""Curves: what is drawn and said of numbers as they come, the odd ones among them."""

import re
from decimal import Decimal

import pytest
from django.template.loader import render_to_string

from audit.admin.charts import WIDTH, ceiling, chart, compared, runs, short


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def test_a_curve_begins_at_the_left_ends_at_the_right_and_its_highest_is_highest() -> None:
    drawn = points(chart("c", "Views", [0, 5, 10], height=100).line)
    assert drawn == [(0, 100), (WIDTH / 2, 50), (WIDTH, 0)]


def test_without_numbers_nothing_is_drawn_and_the_words_say_so() -> None:
    empty = chart("c", "Views", [])
    assert (empty.line, empty.area) == ("", "")
    assert empty.description == "Nothing is known of this time."


def test_one_number_is_a_dot() -> None:
    single = chart("c", "Views", [7])
    assert single.line.endswith("h0")
    assert single.area == ""
    assert "7 at the end" in single.description


def test_nothing_but_zeros_lies_on_the_ground() -> None:
    assert {y for _, y in points(chart("c", "Views", [0, 0, 0], height=100).line)} == {100}


def test_a_gap_is_a_gap_and_not_zero() -> None:
    gap = chart("c", "Views", [4, 4, None, 4, None, None, 4, 4], height=100)
    assert gap.line.count("M") == 3
    assert {y for _, y in points(gap.line)} == {20}


def test_what_is_no_number_is_a_gap_and_less_than_nothing_is_nothing() -> None:
    assert runs([1, None, 2]) == [[(0, 1)], [(2, 2)]]
    drawn = points(chart("c", "Views", [-5, float("nan"), 5, float("inf")], height=100).line)
    assert drawn == [(0, 100), (400, 0)]


@pytest.mark.parametrize("highest", [0, 0.003, 0.9, 1, 7, 10, 11, 999, 2_500_001, 9_223_372_036_854_775_807])
def test_the_top_of_the_axis_holds_the_highest_and_wastes_little(highest) -> None:
    top = ceiling(highest)
    assert top >= highest
    assert top <= max(highest * 2.6, 1)


def test_huge_numbers_stay_within_the_drawing() -> None:
    huge = chart("c", "Views", [2**63 - 1, 1, Decimal(2**63 - 1)], height=100)
    assert all(0 <= x <= WIDTH and 0 <= y <= 100 for x, y in points(huge.line))
    assert "e+" not in huge.line


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (0, "0"),
        (0.5, "0.5"),
        (1234, "1,234"),
        (9999, "9,999"),
        (10_000, "10 k"),
        (48_210, "48.2 k"),
        (1_940_000, "1.94 M"),
        (2**63 - 1, "9223372 T"),
    ],
)
def test_large_numbers_are_said_in_short(value, said) -> None:
    assert short(value) == said


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (112, 100, "+12 % on the week before"),
        (88, 100, "−12 % on the week before"),
        (100, 100, "as many as in the week before"),
        (5, 0, "none in the week before"),
        (0, 0, "none, as in the week before"),
        (0, 5, "−100 % on the week before"),
        (None, None, "none, as in the week before"),
    ],
)
def test_a_comparison_is_said_in_words(now, before, said) -> None:
    assert compared(now, before, "week") == said


def test_the_drawing_has_a_title_and_words_and_nothing_inline() -> None:
    made = chart("views", "Views of <7> days", [1, 3, 2], along=["Mon", "Tue", "Wed"], what="views")
    page = render_to_string("admin/charts/curve.html", {"chart": made})
    assert 'role="img"' in page
    assert "Views of &lt;7&gt; days" in page
    assert "From 1 to 3 views, the most at Tue; 2 at the end." in page
    assert "style=" not in page
