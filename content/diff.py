"""What changed between two versions, word by word, as somebody would mark it up on paper.

Lines are compared first, then the words of lines that were replaced, by Myers' O(ND) algorithm. All of it has one
allowance of steps: agents write the texts, and a comparison that never ends would keep a web thread. Where it runs
out, what is left is shown as taken out and put in whole.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from content.documents import marked
from content.kinds import Kind
from content.models import Artifact
from content.shown import Shown, shown

STEPS = 1_500_000  # about half a second
UNFOLDED = 600  # characters of an unchanged passage that are shown whole
AROUND = 160  # characters beside a change that a folded passage keeps
HEAVIEST = 120_000  # characters of HTML
MARKUP = 110  # of one run
WORD = re.compile(r"\w+|\s+|[^\w\s]")
COMPARED = {Kind.TEXT, Kind.MARKDOWN, Kind.OUTLINE, Kind.TABLE}
Block = tuple[int, int, int]  # where it begins in the older and in the newer, and how long it is


class Mark(StrEnum):
    SAME = "same"
    REMOVED = "removed"
    ADDED = "added"
    FOLDED = "folded"  # unchanged, and left out; the text says how much


@dataclass(frozen=True)
class Run:
    mark: Mark
    text: str


@dataclass(frozen=True)
class Diff:
    older: Shown
    newer: Shown
    runs: list[Run] = field(default_factory=list)
    sentence: str = ""

    @property
    def is_side_by_side(self) -> bool:
        return not self.runs and self.older.kind is not None and self.newer.kind is not None and not self.sentence

    @property
    def is_empty(self) -> bool:
        return not any(run.mark in {Mark.REMOVED, Mark.ADDED} for run in self.runs)


def word_diff(older: Artifact, newer: Artifact) -> Diff:
    """Texts by words; pictures, videos and sounds side by side; a sentence where there is nothing to compare."""
    before, after = shown(older), shown(newer)
    if older.content_sha256 == newer.content_sha256:
        return Diff(before, after, sentence="Both versions have the same content.")
    if before.kind in COMPARED and after.kind in COMPARED:
        runs, sentence = compare(before.text, after.text)
        if before.is_cut or after.is_cut:
            sentence = f"Only the beginnings are compared; the texts are longer. {sentence}".strip()
        return Diff(before, after, runs, sentence)
    if before.kind is None or after.kind is None:
        missing = "older" if before.kind is None else "newer"
        return Diff(before, after, sentence=f"They cannot be compared: the {missing} version cannot be shown here.")
    return Diff(before, after)


def compare(before: str, after: str) -> tuple[list[Run], str]:
    """The runs, folded and cut to what a page carries, and a sentence about what is not shown."""
    allowance = Allowance(STEPS)
    runs = list(folded(joined(_by_lines(before, after, allowance))))
    sentence = ""
    if allowance.is_used_up:
        sentence = "They differ too much to be compared word by word throughout; long passages are marked whole."
    return list(light(runs)), sentence


class Allowance:
    def __init__(self, steps: int) -> None:
        self.left = steps

    @property
    def is_used_up(self) -> bool:
        return self.left <= 0


def _by_lines(before: str, after: str, allowance: Allowance) -> Iterator[Run]:
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    for mark, removed, added in _passages(old, new, allowance):
        if mark == Mark.SAME:
            yield Run(Mark.SAME, "".join(removed))
        else:
            yield from _by_words("".join(removed), "".join(added), allowance)


def _by_words(before: str, after: str, allowance: Allowance) -> Iterator[Run]:
    old, new = WORD.findall(before), WORD.findall(after)
    for mark, removed, added in readable(list(_passages(old, new, allowance))):
        if mark == Mark.SAME:
            yield Run(Mark.SAME, "".join(removed))
            continue
        yield Run(Mark.REMOVED, "".join(removed))
        yield Run(Mark.ADDED, "".join(added))


Passage = tuple[Mark, Sequence[str], Sequence[str]]  # SAME, or REMOVED for what was replaced by the second


def _passages(old: Sequence[str], new: Sequence[str], allowance: Allowance) -> Iterator[Passage]:
    i = j = 0
    for start, begin, length in [*matching(old, new, allowance), (len(old), len(new), 0)]:
        if start > i or begin > j:
            yield Mark.REMOVED, old[i:start], new[j:begin]
        if length:
            yield Mark.SAME, old[start : start + length], new[begin : begin + length]
        i, j = start + length, begin + length


def matching(old: Sequence[str], new: Sequence[str], allowance: Allowance) -> list[Block]:
    """The blocks that both have, in order; what they share at the ends is found without search."""
    head, most = 0, min(len(old), len(new))
    while head < most and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < most - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    inner = _shortest(old[head : len(old) - tail], new[head : len(new) - tail], allowance)
    ends = [(0, 0, head)] if head else []
    last = [(len(old) - tail, len(new) - tail, tail)] if tail else []
    return ends + [(i + head, j + head, length) for i, j, length in inner] + last


def _shortest(old: Sequence[str], new: Sequence[str], allowance: Allowance) -> list[Block]:
    """Myers 1986: the furthest that one gets with d changes, for d = 0, 1, …; nothing when the allowance runs out."""
    n, m = len(old), len(new)
    if not n or not m or not set(old) & set(new):
        return []
    furthest, history, left = {1: 0}, [], allowance.left
    for changes in range(n + m + 1):
        history.append(furthest.copy())
        left -= len(furthest) // 8  # what the copy costs
        for k in range(-changes, changes + 1, 2):
            down = k == -changes or (k != changes and furthest[k - 1] < furthest[k + 1])
            x = start = furthest[k + 1] if down else furthest[k - 1] + 1
            while x < n and x - k < m and old[x] == new[x - k]:
                x += 1
            furthest[k] = x
            left -= 1 + x - start
            if x >= n and x - k >= m:
                allowance.left = left
                return _way_back(history, n, m)
        if left <= 0:
            break
    allowance.left = min(left, 0)
    return []


def _way_back(history: list[dict[int, int]], x: int, y: int) -> list[Block]:
    blocks: list[Block] = []
    for changes in range(len(history) - 1, -1, -1):
        furthest, k = history[changes], x - y
        down = k == -changes or (k != changes and furthest[k - 1] < furthest[k + 1])
        before = k + 1 if down else k - 1
        came_x = furthest[before]
        start = came_x if down else came_x + 1
        if x > start:
            blocks.append((start, start - k, x - start))
        x, y = came_x, came_x - before
    return blocks[::-1]


def readable(passages: list[Passage]) -> list[Passage]:
    """Without islands: a space or a short word that two replaced passages happen to share is replaced with them."""
    for _ in range(3):  # what was merged outweighs more
        passages = _without_islands(passages)
    return passages


def _without_islands(passages: list[Passage]) -> list[Passage]:
    kept: list[Passage] = []
    for place, (mark, removed, added) in enumerate(passages):
        if mark == Mark.SAME and 0 < place < len(passages) - 1:
            island = _outweighed(len("".join(removed)), kept[-1], passages[place + 1])
            mark = Mark.REMOVED if island else mark
        if kept and mark == kept[-1][0] == Mark.REMOVED:
            kept[-1] = (mark, [*kept[-1][1], *removed], [*kept[-1][2], *added])
        else:
            kept.append((mark, removed, added))
    return kept


def _outweighed(size: int, before: Passage, after: Passage) -> bool:
    if before[0] == Mark.SAME:
        return False
    heavy = [max(len("".join(side)) for side in passage[1:]) for passage in (before, after)]
    return size <= 1 or size <= min(min(heavy) // 2, 12)


def joined(runs: Iterator[Run]) -> Iterator[Run]:
    """Neighbours of one kind as one, without empty ones."""
    last: Run | None = None
    for run in runs:
        if not run.text:
            continue
        if last and last.mark == run.mark:
            last = Run(run.mark, last.text + run.text)
            continue
        if last:
            yield last
        last = run
    if last:
        yield last


def folded(runs: Iterator[Run]) -> Iterator[Run]:
    """Long unchanged passages without their middle."""
    for run in runs:
        if run.mark != Mark.SAME or len(run.text) <= UNFOLDED:
            yield run
            continue
        left_out = len(run.text) - 2 * AROUND
        yield Run(Mark.SAME, run.text[:AROUND])
        yield Run(Mark.FOLDED, f"{left_out:,} unchanged characters")
        yield Run(Mark.SAME, run.text[-AROUND:])


def light(runs: list[Run]) -> Iterator[Run]:
    """As much of them as a page carries, once their <, > and quotes are written out."""
    left = HEAVIEST
    for run in runs:
        text = run.text
        while text and len(marked(text)) + MARKUP > left:
            text = text[: len(text) // 2]
        if text:
            yield Run(run.mark, text)
        if len(text) < len(run.text):
            yield Run(Mark.FOLDED, "the rest is not shown here")
            return
        left -= len(marked(text)) + MARKUP
