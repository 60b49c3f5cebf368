"""What conditions, ranges and dates of requests ask for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.sansio.http_conditions import Validators, http_date_s, unmet, wanted
from tests.support.http import asked

NOW = Validators('"a-1"', 784_111_777)
SAME = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
NO_DATE = "Sun, 06 Nov 1994 08:49:37 +0100"


def test_the_date_is_the_one_of_the_rfc() -> None:
    assert NOW.last_modified == SAME


# -- conditions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([], None),
        (["Range: bytes=0-0", "If-Range: x"], None),
        # If-None-Match: weak comparison, lists, "*".
        (['If-None-Match: "a-1"'], 304),
        (['if-none-match:W/"a-1"'], 304),
        (['If-None-Match: "b", W/"a-1" ,"c"'], 304),
        (['If-None-Match: "b"', 'If-None-Match: "a-1"'], 304),
        (['If-None-Match: ,"a-1",'], 304),
        (["If-None-Match: *"], 304),
        (['If-None-Match: "b"'], None),
        (['If-None-Match: w/"a-1"'], None),
        (["If-None-Match: a-1"], None),
        (["If-None-Match: '*'"], None),
        (['If-None-Match: "*"'], None),
        (['If-None-Match: "x,", "y"'], None),
        (["If-None-Match:"], None),
        # If-Modified-Since.
        ([f"If-Modified-Since: {SAME}"], 304),
        ([f"If-Modified-Since: {AFTER}"], 304),
        ([f"If-Modified-Since: {BEFORE}"], None),
        (["If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT"], 304),
        (["If-Modified-Since: Sun Nov  6 08:49:37 1994"], 304),
        (["If-Modified-Since: Sun Nov  6 08:49:36 1994"], None),
        ([f"If-Modified-Since: {NO_DATE}"], None),
        (["If-Modified-Since: Mon, 01 Jan 0001 00:00:00 GMT"], None),
        (["If-Modified-Since:"], None),
        ([f"If-Modified-Since: {SAME}", f"If-Modified-Since: {SAME}"], None),
        # Tags go before dates.
        (['If-None-Match: "b"', f"If-Modified-Since: {AFTER}"], None),
        (['If-None-Match: "a-1"', f"If-Modified-Since: {BEFORE}"], 304),
        # If-Match: strong comparison.
        (['If-Match: "a-1"'], None),
        (['If-Match: "b", "a-1"'], None),
        (["If-Match: *"], None),
        (['If-Match: W/"a-1"'], 412),
        (['If-Match: "b"'], 412),
        (["If-Match:"], 412),
        # If-Unmodified-Since.
        ([f"If-Unmodified-Since: {SAME}"], None),
        ([f"If-Unmodified-Since: {AFTER}"], None),
        ([f"If-Unmodified-Since: {BEFORE}"], 412),
        (["If-Unmodified-Since: Sun Nov  6 08:49:36 1994"], 412),
        (["If-Unmodified-Since: yesterday"], None),
        (['If-Match: "a-1"', f"If-Unmodified-Since: {BEFORE}"], None),
        (['If-Match: "b"', f"If-Unmodified-Since: {AFTER}"], 412),
        # Both kinds.
        (['If-Match: "a-1"', 'If-None-Match: "a-1"'], 304),
        (['If-Match: "b"', 'If-None-Match: "a-1"'], 412),
        ([f"If-Unmodified-Since: {BEFORE}", f"If-Modified-Since: {SAME}"], 412),
        ([f"If-Unmodified-Since: {SAME}", f"If-Modified-Since: {SAME}"], 304),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions(fields: list[str], status: int | None, method: str) -> None:
    assert unmet(asked("/", *fields, method=method), NOW) == status


# -- ranges --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=0-9", range(10)),
        ("bytes=2-4", range(2, 5)),
        ("bytes=9-", range(9, 10)),
        ("bytes=0-", range(10)),
        ("BYTES=3-5", range(3, 6)),
        ("bytes= \t3-5 ", range(3, 6)),
        ("bytes=003-0005", range(3, 6)),
        ("bytes=5-18446744073709551615", range(5, 10)),
        ("bytes=-1", range(9, 10)),
        ("bytes=-10", range(10)),
        ("bytes=-99999999999999999999", range(10)),
        # None of it is there.
        ("bytes=10-", range(10, 10)),
        ("bytes=10-20", range(10, 10)),
        ("bytes=99999999999999999999-", range(10, 10)),
        ("bytes=-0", range(10, 10)),
        # Not one range of bytes.
        ("bytes=5-4", None),
        ("bytes=20-15", None),
        ("bytes=0-1,3-4", None),
        ("bytes=0-1,", None),
        ("bytes=-", None),
        ("bytes= -", None),
        ("bytes=", None),
        ("bytes", None),
        ("bytes=a-b", None),
        ("bytes=+1-2", None),
        ("bytes=1 - 2", None),
        ("bytes=1-2-3", None),
        ("bytes=1_0-20", None),
        ("bytes=\xb2-", None),
        ("bytes=\xa01-2", None),
        ("bytes=" + 41 * "1" + "-", None),
        ("bytes=0-" + 5000 * "1", None),
        ("lines=0-1", None),
        ("0-1", None),
        ("", None),
    ],
)
def test_ranges_of_ten_bytes(text: str, part: range | None) -> None:
    found = wanted(asked("/", f"Range: {text}"), NOW, 10)
    assert found == part
    if found is not None and part is not None:  # all empty ranges are equal
        assert (found.start, found.stop) == (part.start, part.stop)


def test_two_range_fields_are_a_list() -> None:
    assert wanted(asked("/", "Range: bytes=0-1", "Range: bytes=0-1"), NOW, 10) is None


@pytest.mark.parametrize("text", ["bytes=0-", "bytes=0-9", "bytes=5-", "bytes=-5", "bytes=-0"])
def test_an_empty_file_has_no_parts(text: str) -> None:
    assert wanted(asked("/", f"Range: {text}"), NOW, 0) is None


def test_without_a_range_all_is_wanted() -> None:
    assert wanted(asked("/"), NOW, 10) is None
    assert wanted(asked("/", f"If-Range: {NOW.etag}"), NOW, 10) is None


def test_a_range_counts_for_get_only() -> None:
    assert wanted(asked("/", "Range: bytes=0-1", method="HEAD"), NOW, 10) is None


@pytest.mark.parametrize(
    ("condition", "counts"),
    [
        (NOW.etag, True),
        (SAME, True),
        (f"W/{NOW.etag}", False),
        ('"b"', False),
        (f'{NOW.etag}, "b"', False),
        ("*", False),
        (BEFORE, False),
        (AFTER, False),
        ("Sunday, 06-Nov-94 08:49:37 GMT", False),
        ("Sun Nov  6 08:49:37 1994", False),
        ("", False),
    ],
)
def test_a_range_counts_for_the_file_that_the_client_knows(condition: str, counts: bool) -> None:
    request = asked("/", "Range: bytes=0-1", f"If-Range: {condition}")
    assert wanted(request, NOW, 10) == (range(2) if counts else None)


@given(st.integers(1, 40), st.integers(0, 50), st.integers(0, 50))
def test_a_range_is_a_slice(size: int, first: int, last: int) -> None:
    data = bytes(range(size))
    for text, expected in (
        (f"{first}-{last}", data[first : last + 1]),
        (f"{first}-", data[first:]),
        (f"-{last}", data[-last:] if last else b""),
    ):
        part = wanted(asked("/", f"Range: bytes={text}"), NOW, size)
        if part is None:
            assert last < first
        else:
            assert data[part.start : part.stop] == expected


VALUES = st.one_of(
    st.text("0123456789-,= \tbytesW/\"*GMT:'", max_size=60),
    st.text(st.characters(codec="latin-1", categories=("L", "N", "P", "S", "Zs"))),
    st.from_regex(r"bytes=[0-9]*-[0-9]*(,[0-9]*-[0-9]*)*", fullmatch=True),
)
NAMES = ["Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since"]


@given(st.dictionaries(st.sampled_from([*NAMES, "If-Unmodified-Since"]), VALUES), st.integers(0))
def test_no_field_whatever_makes_it_fail(fields: dict[str, str], size: int) -> None:
    request = asked("/", *(f"{name}: {value}" for name, value in fields.items()))
    assert unmet(request, NOW) in (None, 304, 412)
    part = wanted(request, NOW, size)
    assert part is None or 0 <= part.start <= part.stop <= size


# -- dates ---------------------------------------------------------------------------------

IMF, RFC_850, ASCTIME = (
    "%a, %d %b %Y %H:%M:%S GMT",
    "%A, %d-%b-%y %H:%M:%S GMT",
    "%a %b %e %H:%M:%S %Y",
)


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize(
    "text", [SAME, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_the_three_forms_of_a_date_mean_the_same_everywhere(text: str) -> None:
    assert http_date_s(text) == 784_111_777


@given(st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_what_is_written_as_a_date_is_read_as_it(date: datetime) -> None:
    seconds = int(date.replace(microsecond=0).timestamp())
    for form in (IMF, RFC_850, ASCTIME):
        if form is not RFC_850 or 1969 <= date.year <= 2068:
            assert http_date_s(date.strftime(form)) == seconds


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "0",
        "784111777",
        "1994-11-06T08:49:37Z",
        NO_DATE,
        SAME.replace("GMT", "UTC"),
        SAME.replace(" GMT", ""),
        SAME.lower(),
        f"{SAME}, {SAME}",
        f" {SAME}",
        f"{SAME}\n",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:60 GMT",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Sun, 06 Nov 19940 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
    ],
)
def test_what_is_no_date(text: str | None) -> None:
    assert http_date_s(text) is None
