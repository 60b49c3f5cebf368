"""Media types are told by the end of a name."""

from __future__ import annotations

import re

import pytest

from tcptool.catalog.media_types import MEDIA_TYPES, OTHER, media_type


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"index.html", "text/html; charset=utf-8"),
        (b"INDEX.HTML", "text/html; charset=utf-8"),
        (b"a.b.css", "text/css; charset=utf-8"),
        (b"a.mjs", "text/javascript; charset=utf-8"),
        (b"data.json", "application/json"),
        (b"a.tar.gz", "application/gzip"),
        (b"\xff\xe9.png", "image/png"),
        (b" .txt", "text/plain; charset=utf-8"),
        (b"html", OTHER),
        (b".html", OTHER),
        (b"a.", OTHER),
        (b".", OTHER),
        (b"", OTHER),
        (b"a.html~", OTHER),
        (b"a.html\n", OTHER),
        (b"a.\xff", OTHER),
        (b"data:text/html,.x", OTHER),
        (b"http://a/b.html?c.x", OTHER),
    ],
)
def test_the_type_of_a_name(name: bytes, kind: str) -> None:
    assert media_type(name) == kind


@pytest.mark.parametrize(("end", "kind"), MEDIA_TYPES.items())
def test_every_entry_can_be_found_and_sent(end: str, kind: str) -> None:
    assert re.fullmatch(r"[0-9a-z]+", end)
    assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+(; charset=utf-8)?", kind)
    assert kind.startswith("text/") == kind.endswith("utf-8")
    assert media_type(f"a.{end}".encode()) == kind
