"""Reading real files: what is good goes in, what is broken is reported with its line and the reason."""

import io

import pytest

from audit.errors import Invalid
from content.post_file import LONGEST_LINE, Record, Reject, moment, post_id, read_records, whole

HEADER = b"platform_post_id,title,observed_at,views\n"


def read(body: bytes, header: bytes = HEADER) -> list[Record | Reject]:
    return list(read_records(io.BytesIO(header + body), ["platform_post_id", "observed_at"]))


def lines(body: bytes) -> list[tuple[int, str]]:
    """(line, id) of good rows and (line, reason) of bad ones."""
    return [(row.line, row.reason if isinstance(row, Reject) else row.values["platform_post_id"]) for row in read(body)]


def test_quotes_commas_emoji_and_ids_with_a_dash() -> None:
    (row,) = read('-x1,"He said ""no"", then 🎉",2017-11-14T00:00:00Z,5\n'.encode())
    assert isinstance(row, Record)
    assert row.values["title"] == 'He said "no", then 🎉'
    assert post_id(row) == "-x1"


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_line_endings_and_a_missing_last_one(ending: bytes) -> None:
    assert lines(b"a,t,2017-11-14,5" + ending) == [(2, "a")]


def test_a_byte_order_mark_and_columns_in_another_order() -> None:
    header = b"\xef\xbb\xbfviews,observed_at,extra,platform_post_id\n"
    (row,) = read(b"5,2017-11-14,x,a\n", header)
    assert isinstance(row, Record)
    assert (post_id(row), whole(row.values["views"], "views")) == ("a", 5)


def test_a_quoted_field_goes_on_over_lines() -> None:
    assert lines(b'a,"two\nlines",2017-11-14,5\nb,t,2017-11-14,5\n') == [(2, "a"), (4, "b")]


def test_an_unclosed_quote_costs_only_its_line() -> None:
    body = b'a,"never closed,2017-11-14,5\n' + b"".join(b"b%d,t,2017-11-14,5\n" % n for n in range(50))
    found = lines(body)
    assert found[0] == (2, "a quote is opened and not closed.")
    assert [name for _, name in found[1:]] == [f"b{n}" for n in range(50)]


def test_an_unclosed_quote_that_another_one_closes_costs_only_the_broken_lines() -> None:
    found = lines(b'a,"open,2017-11-14,5\nb,t,2017-11-14,5\nc,"open,2017-11-14,5\nd,t,2017-11-14,5\n')
    assert [line for line, _ in found] == [2, 3, 4, 5]
    assert [name for _, name in found if len(name) == 1] == ["b", "d"]


@pytest.mark.parametrize(
    "last", [b'w4,A TV of 27",2017-11-14,999\n', b'w4,"27""",2017-11-14,999\n', b'w4,"","2017-11-14",999\n']
)
@pytest.mark.parametrize("between", [0, 2, 30])
def test_a_stray_quote_that_a_later_one_seems_to_close_swallows_no_good_line(last: bytes, between: int) -> None:
    good = [f"g{n}" for n in range(between)]
    found = lines(
        b'w1,"Broken title,2017-11-14,5\n' + b"".join(b"%s,t,2017-11-14,5\n" % g.encode() for g in good) + last
    )
    assert found[0] == (2, "a quote is opened and not closed.")
    assert [name for _, name in found[1:]] == [*good, "w4"]


def test_a_first_column_may_go_on_over_lines_too() -> None:
    (row,) = read(b'"two\nlines",a,2017-11-14,5\n', b"title,platform_post_id,observed_at,views\n")
    assert isinstance(row, Record)
    assert (row.values["title"], post_id(row)) == ("two\nlines", "a")


@pytest.mark.parametrize("character", "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e")
def test_only_a_line_feed_ends_a_line(character: str) -> None:
    (plain, quoted) = read(f'a,x{character}y,2017-11-14,5\nb,"x{character}y",2017-11-14,5\n'.encode())
    assert isinstance(plain, Record)
    assert isinstance(quoted, Record)
    assert plain.values["title"] == quoted.values["title"] == f"x{character}y"


def test_a_long_field_is_read_whole() -> None:
    (row,) = read(b"a," + b"x" * 200_000 + b",2017-11-14,5\n")
    assert isinstance(row, Record)
    assert len(row.values["title"]) == 200_000


def test_the_header_in_any_case_and_with_unnamed_columns() -> None:
    (row,) = read(b"a,2017-11-14,5,,\n", b"Platform_Post_ID, OBSERVED_AT,Views,,\n")
    assert isinstance(row, Record)
    assert row.values == {"platform_post_id": "a", "observed_at": "2017-11-14", "views": "5"}


def test_each_kind_of_broken_line_is_reported_and_the_rest_goes_in() -> None:
    body = (
        b"a,t,2017-11-14,5\n"
        b"half,a li\n"
        b"too,many,2017-11-14,5,6,7\n"
        b"bad\xff,t,2017-11-14,5\n"
        b"nu\x00l,t,2017-11-14,5\n"
        b"\n"
        b"z,t,2017-11-14,5\n"
    )
    assert lines(body) == [
        (2, "a"),
        (3, "2 columns instead of 4."),
        (4, "6 columns instead of 4."),
        (5, "the line is not UTF-8."),
        (6, "the line contains a NUL character."),
        (8, "z"),
    ]


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    found = lines(b"a," + b"x" * (3 * LONGEST_LINE) + b"\nb,t,2017-11-14,5\n")
    assert found == [(2, f"the line is longer than {LONGEST_LINE:,} bytes."), (3, "b")]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"title,views\nx,1\n", "has no column platform_post_id, observed_at"),
        (b"platform_post_id,observed_at,views,Views\n", "names a column twice"),
        (b"\xff\xfe\n", "does not begin with a header"),
        (b"PK\x03\x04\x00\n", "does not begin with a header"),
    ],
)
def test_what_is_no_such_file_is_refused_whole(content: bytes, problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        read(content, header=b"")


def row(**values: str) -> Record:
    return Record(2, {"platform_post_id": "a", "observed_at": "2017-11-14T00:00:00Z", "views": "5"} | values)


@pytest.mark.parametrize("value", ["-1", "1.5", "1e3", "many", "٣", "1_000", "9223372036854775808", "9" * 30])
def test_bad_numbers_are_named(value: str) -> None:
    with pytest.raises(Invalid, match="views is not a whole number"):
        whole(value, "views")


def test_the_largest_number_is_one() -> None:
    assert whole(" 9223372036854775807", "views") == 2**63 - 1


@pytest.mark.parametrize("value", ["", "yesterday", "2017-13-01", "2017-11-14T25:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_bad_times_are_named(value: str) -> None:
    with pytest.raises(Invalid, match="observed_at is not a time"):
        moment(row(observed_at=value), "observed_at")


@pytest.mark.parametrize("value", ["2017-11-14T00:00:00Z", "2017-11-14", "2017-11-14T01:00:00.000+01:00"])
def test_times_are_utc(value: str) -> None:
    assert moment(row(observed_at=value), "observed_at").isoformat() == "2017-11-14T00:00:00+00:00"


@pytest.mark.parametrize("value", ["", "  ", "x" * 256])
def test_bad_ids_are_named(value: str) -> None:
    with pytest.raises(Invalid, match="platform_post_id"):
        post_id(row(platform_post_id=value))
