"""What changed between two versions, in words; and never for longer than somebody waits."""

import random
import time

import pytest

from content.diff import HEAVIEST, Mark, compare, word_diff
from content.models import Artifact
from tests import factories

OLD = (
    "Here are the three fees that eat it up: the transfer fee, the hidden margin, and the receiving fee.\n\n"
    "With Birr Direct you are guaranteed the best rate. Ask for it before you pay; a fair service shows it.\n"
)
NEW = (
    "Here are the three fees that eat it up: the transfer fee, the exchange-rate margin, and the receiving fee.\n\n"
    "Compare the amount that arrives, not the fee on the poster. Ask for it before you pay; a fair service shows it.\n"
)


def told(before: str, after: str) -> list[tuple[str, str]]:
    return [(str(run.mark), run.text) for run in compare(before, after)[0]]


def sides(before: str, after: str) -> tuple[str, str]:
    """Both texts, put together again from the runs."""
    runs = told(before, after)
    return (
        "".join(text for mark, text in runs if mark in {"same", "removed"}),
        "".join(text for mark, text in runs if mark in {"same", "added"}),
    )


def test_a_word_that_was_replaced() -> None:
    assert told("the hidden margin\n", "the exchange margin\n") == [
        ("same", "the "),
        ("removed", "hidden"),
        ("added", "exchange"),
        ("same", " margin\n"),
    ]


def test_a_sentence_that_was_replaced_is_no_mosaic_of_small_words() -> None:
    runs = told(OLD, NEW)
    assert ("removed", "With Birr Direct you are guaranteed the best rate") in runs
    assert ("added", "Compare the amount that arrives, not the fee on the poster") in runs
    assert ("removed", "hidden") in runs


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "new"),
        ("old", ""),
        ("same", "same"),
        ("", ""),
        ("a\nb\n", "b\na\n"),
        ("የዋጋ ዝርዝር", "የዋጋ ለውጥ"),
        ("a b", "a  b"),
    ],
)
def test_both_texts_are_found_again(before: str, after: str) -> None:
    assert sides(before, after) == (before, after)


def test_both_texts_are_found_again_whatever_they_are() -> None:
    chance = random.Random(4)
    for _ in range(300):
        before, after = ("".join(chance.choices("ab c.\n", k=chance.randrange(60))) for _ in range(2))
        assert sides(before, after) == (before, after)


def test_long_unchanged_passages_are_folded() -> None:
    same = "nothing happens here. " * 200
    runs, _ = compare(f"{same}old end", f"{same}new end")
    assert [run.mark for run in runs] == [Mark.SAME, Mark.FOLDED, Mark.SAME, Mark.REMOVED, Mark.ADDED, Mark.SAME]
    assert "unchanged characters" in runs[1].text
    assert sum(len(run.text) for run in runs) < 1000


SIZE = 64 * 1024
HOSTILE = {
    "the same word": ("a " * (SIZE // 2), "a " * (SIZE // 2 - 9) + "b"),
    "words that come back": ("a " * (SIZE // 2), "a b " * (SIZE // 4)),
    "nothing in common": ("a " * (SIZE // 2), "b " * (SIZE // 2)),
    "lines that come back": ("a\n" * (SIZE // 2), "a\nb\n" * (SIZE // 4)),
    "shuffled": (
        " ".join(random.Random(1).choices("abcdefgh", k=SIZE // 2)),
        " ".join(random.Random(2).choices("abcdefgh", k=SIZE // 2)),
    ),
    "shuffled lines": (
        "\n".join(random.Random(1).choices("abcdefgh", k=SIZE // 2)),
        "\n".join(random.Random(2).choices("abcdefgh", k=SIZE // 2)),
    ),
    "turned around": (
        " ".join(map(str, range(12_000))),
        " ".join(map(str, reversed(range(12_000)))),
    ),
    "one long word": ("a" * SIZE, "a" * (SIZE - 1) + "b"),
    "quotes": ("'" * SIZE, '"' * SIZE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_pair_of_texts_keeps_anybody_waiting(name: str) -> None:
    before, after = HOSTILE[name]
    begun = time.process_time()
    runs, _ = compare(before, after)
    assert time.process_time() - begun < 2  # about half a second where nothing else runs
    assert any(run.mark != Mark.SAME for run in runs)
    assert sum(len(run.text) for run in runs) <= HEAVIEST


def test_what_differs_too_much_is_said_to() -> None:
    runs, sentence = compare(*HOSTILE["shuffled"])
    assert "too much" in sentence
    assert {Mark.REMOVED, Mark.ADDED} <= {run.mark for run in runs}


def two(first: dict, second: dict) -> tuple[Artifact, Artifact]:
    return factories.make_artifact(**first), factories.make_artifact(**second)


@pytest.mark.django_db
def test_versions_with_the_same_content_say_so() -> None:
    diff = word_diff(*two({"content": b"one"}, {"content": b"one"}))
    assert "same content" in diff.sentence
    assert diff.runs == []


@pytest.mark.django_db
def test_what_is_missing_is_not_compared() -> None:
    gone = {"content_ref": "sha256/no/thing", "content_sha256": "a" * 64}
    assert "older version cannot be shown" in word_diff(*two(gone, {"content": b"one"})).sentence


@pytest.mark.django_db
def test_pictures_stand_side_by_side() -> None:
    diff = word_diff(*two({"content": factories.PNG}, {"content": factories.PNG + b"\0"}))
    assert diff.is_side_by_side
    assert not diff.sentence


@pytest.mark.django_db
def test_of_long_texts_the_beginnings_are_compared_and_that_is_said() -> None:
    long = b"word " * 40_000
    diff = word_diff(*two({"content": b"one " + long}, {"content": b"two " + long}))
    assert "Only the beginnings are compared" in diff.sentence
    assert diff.runs[0].text == "one"
