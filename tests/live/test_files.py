"""Files of a real directory as answers, and that nothing outside of it is ever one."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote_from_bytes, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.errors import NotFound, UsageError
from tcptool.sansio.http1 import Request
from tcptool.traffic.answers import Answer
from tcptool.traffic.files import Files
from tcptool.traffic.site import HELLO, Site
from tests.live.program import NOBODY
from tests.support.http import Reply, asked, reply_to

TEXT = b"0123456789"
OLD_S = 784_111_777
OLD = "Sun, 06 Nov 1994 08:49:37 GMT"
EVIL = b"data:text\r\nX: y,.html"
"""What Python's own table of media types would make a field of."""


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a secret, and ``root`` in it, out of which links lead."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    root = outside / "root"
    for folder in ("a/b", "empty", "with index", "odd/index.html", "rooted"):
        (root / folder).mkdir(parents=True)
    for path, text in {
        b"file": TEXT,
        b"empty.txt": b"",
        b"page.html": b"<p>",
        b"with index/index.html": b"index",
        b"a/b/file": b"deep",
        b"odd/index.html/index.html": b"an index of an index",
        b"100%": b"percent",
        b"\xff\xe9.txt": b"not UTF-8",
        EVIL: b"evil",
        b"...": b"dots",
    }.items():
        (root / os.fsdecode(path)).write_bytes(text)
    os.utime(root / "file", (OLD_S, OLD_S))
    for name, target in {
        "link": "file",
        "way-out": "../secret",
        "a/up": "..",
        "a/far-up": "../..",
        "absolute": str(outside),
        "this-process": "/proc/self",
        "nowhere": "none",
        "round": "round",
        "rooted/index.html": "../file",
    }.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(root / "socket"))
    return outside


@pytest.fixture(scope="module")
def files(outside: Path) -> Iterator[Files]:
    files = Files(str(outside / "root"))
    yield files
    files.close()


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    """Whatever the answer, no descriptor is left open once its file was closed."""
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


def answer_to(files: Files, request: Request) -> Answer | None:
    return files.answer(request, request.target.partition("?")[0])


def get(files: Files, target: str, *fields: str, method: str = "GET") -> Reply:
    request = asked(target, *fields, method=method)
    answer = answer_to(files, request)
    assert answer is not None
    return reply_to(request, answer)


def as_it_is(files: Files, target: str = "/file") -> tuple[str, str]:
    """ETag and date."""
    fields = get(files, target, method="HEAD").fields
    return fields["etag"], fields["last-modified"]


# -- names ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/file", TEXT),
        ("/file?query", TEXT),
        ("//file", TEXT),
        ("/./file", TEXT),
        ("/%66%69le", TEXT),
        ("/a/b/file", b"deep"),
        ("/a//./b/file", b"deep"),
        ("/with%20index/", b"index"),
        ("/with%20index//", b"index"),
        ("/with%20index/index.html", b"index"),
        ("/100%", b"percent"),
        ("/100%25", b"percent"),
        ("/%ff%E9.txt", b"not UTF-8"),
        ("/empty.txt", b""),
        ("/...", b"dots"),
        (f"/{quote_from_bytes(EVIL)}", b"evil"),
    ],
)
def test_names_of_files(target: str, body: bytes, files: Files) -> None:
    assert get(files, target).body == body


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/none",
        "/FILE",
        "/file/",
        "/file/x",
        "/with+index/",
        "/empty",
        "/empty/",
        "/a",
        # Out of it, or by links.
        "/..",
        "/../secret",
        "/a/../file",
        "/%2e%2e/secret",
        "/.%2E/secret",
        "/a/..%2f..%2fsecret",
        "/..%5csecret",
        "/way-out",
        "/absolute/secret",
        "/a/up/file",
        "/a/far-up/secret",
        "/this-process/status",
        "/link",
        "/nowhere",
        "/round",
        "/round/file",
        "/rooted/",
        # No name of a file.
        "/a%2fb%2ffile",
        "/file%00",
        "/file%00.txt",
        "/%",
        "/%zz",
        "/%252e%252e/secret",
        "/" + 300 * "a",
        "/" + 4000 * "a/",
        # No file.
        "/fifo",
        "/socket",
        "/odd/",
    ],
)
def test_names_of_nothing(target: str, files: Files) -> None:
    for method in ("GET", "HEAD"):
        assert answer_to(files, asked(target, method=method)) is None


def test_devices_are_no_files() -> None:
    devices = Files("/dev")
    for name in ("null", "zero", "tty"):
        assert answer_to(devices, asked(f"/{name}")) is None
    devices.close()


_COMPONENTS = [
    b"", b".", b"..", b"...", b"a", b"b", b"file", b"up", b"far-up", b"way-out", b"absolute",
    b"secret", b"root", b"this-process", b"cwd", b"link", b"with index", b"index.html", b"\xff",
    b"\0", b"\\", b"/", b"../", b"/etc/passwd", b"100%", b"proc", b"self", b"fd", b"empty.txt",
]  # fmt: skip
_ENCODINGS = [
    quote_from_bytes,
    lambda name: quote_from_bytes(name, safe=""),
    lambda name: "".join([f"%{byte:02X}" for byte in name]),
    lambda name: "".join([f"%{byte:02x}" for byte in name]),
    lambda name: quote_from_bytes(quote_from_bytes(name, safe="").encode(), safe=""),
    lambda name: re.sub(r"[^!-~]|[?#]", "", name.decode("latin-1")),
]
_PATHS = st.one_of(
    st.lists(
        st.builds(
            lambda component, encode: encode(component),
            st.sampled_from(_COMPONENTS) | st.binary(max_size=4),
            st.sampled_from(_ENCODINGS),
        ),
        min_size=1,
        max_size=6,
    ).map(lambda parts: "/" + "/".join(parts)),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="?#")).map(
        lambda text: f"/{text}"
    ),
)


@given(_PATHS)
def test_no_path_whatever_leads_outside(outside: Path, path: str) -> None:
    files = Files(str(outside / "root"))
    try:
        request = asked(path)
        answer = files.answer(request, path)
        if answer is None:
            return
        if answer.file:
            found = Path(os.readlink(f"/proc/self/fd/{answer.file.fd}"))
            assert found.is_relative_to((outside / "root").resolve())
        reply = reply_to(request, answer)
        assert reply.status in (200, 301)
        assert b"secret" not in reply.body
        assert "x" not in reply.fields
    finally:
        files.close()


def test_a_link_that_takes_the_place_of_a_name_is_not_followed(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside: Path
) -> None:
    """Even between the look at it and its opening."""
    (tmp_path / "name").write_text("public")
    found = os.stat(tmp_path / "name")
    (tmp_path / "name").unlink()
    (tmp_path / "name").symlink_to(outside / "secret")
    own = Files(str(tmp_path))
    monkeypatch.setattr("os.stat", lambda *_, **__: found)
    answer = answer_to(own, asked("/name"))
    monkeypatch.undo()
    own.close()
    assert answer is None


# -- directories ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/with%20index", "/with%20index/"),
        ("/with%20index?a=b%20&c", "/with%20index/?a=b%20&c"),
        ('/with%20index?a"<b>', "/with%20index/?a%22%3Cb%3E"),
        ("//with%20index", "/with%20index/"),
        ("/./with%20index/.", "/with%20index/"),
        ("/%77ith%20index", "/with%20index/"),
    ],
)
def test_a_directory_with_an_index_has_a_slash_behind_it(
    target: str, location: str, files: Files
) -> None:
    reply = get(files, target)
    assert (reply.status, reply.fields["location"]) == (301, location)
    assert reply.body == b"301 Moved Permanently\n"
    assert get(files, location).body == b"index"
    assert get(files, target, method="HEAD") == reply._replace(body=b"")


def test_nobody_is_sent_to_another_server(tmp_path: Path) -> None:
    """And a name cannot end the field."""
    for name in ("host", "a:b", "x\r\nSet-Cookie: y", "\\host", "%2f", "?"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(name)
        files = Files(str(tmp_path))
        quoted = quote_from_bytes(name.encode(), safe="")
        for start in ("/", "//", "/.//"):
            reply = get(files, f"{start}{quoted}")
            assert reply.status == 301
            assert "set-cookie" not in reply.fields
            url = urljoin(f"http://t/{start}{quoted}", reply.fields["location"])
            assert url == f"http://t/{quoted}/"
        files.close()


def test_the_index_of_the_root_goes_before_the_hello_page(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    site = Site(files, lambda: b"stats", lambda: b"metrics")
    (tmp_path / "stats").write_text("a file")
    for target, body in (("/", HELLO), ("http://t", HELLO), ("/stats", b"stats")):
        request = asked(target)
        assert reply_to(request, site.answer(request)).body == body
    assert site.answer(asked("/none")).status == 404
    assert site.answer(asked("/none", method="POST")).status == 405
    (tmp_path / "index.html").write_text("index")
    for target in ("/", "http://t", "http://t?x", "/?x", "//", "/."):
        request = asked(target)
        answer = site.answer(request)
        assert not answer.constant
        assert reply_to(request, answer).body == b"index"
    files.close()


# -- what is said about a file -------------------------------------------------------------


def test_a_file_and_its_head(files: Files) -> None:
    reply = get(files, "/file")
    assert (reply.status, reply.body) == (200, TEXT)
    assert reply.fields.keys() == {
        "date", "last-modified", "etag", "accept-ranges", "content-type", "content-length",
    }  # fmt: skip
    assert (reply.fields["last-modified"], reply.fields["accept-ranges"]) == (OLD, "bytes")
    assert re.fullmatch(r'"[0-9a-f-]+"', reply.fields["etag"])
    assert get(files, "/file", method="HEAD") == reply._replace(body=b"")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/file", "application/octet-stream"),
        ("/page.html", "text/html; charset=utf-8"),
        ("/with%20index/", "text/html; charset=utf-8"),
        ("/empty.txt", "text/plain; charset=utf-8"),
        (f"/{quote_from_bytes(EVIL)}", "text/html; charset=utf-8"),
    ],
)
def test_the_type_is_told_by_the_name(target: str, kind: str, files: Files) -> None:
    reply = get(files, target)
    assert reply.fields["content-type"] == kind
    assert "x" not in reply.fields


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("field", ["A: b", "If-None-Match: *", "If-Match: x", "Range: bytes=99-"])
def test_every_answer_says_what_becomes_of_the_connection(
    connection: str, version: str, field: str, files: Files
) -> None:
    for target in ("/file", "/with%20index"):
        request = asked(target, f"Connection: {connection}", field, version=version)
        answer = answer_to(files, request)
        assert answer is not None
        if answer.file:
            os.close(answer.file.fd)
        assert answer.keep_alive == (connection == "keep-alive")
        said = b"\r\nConnection: " + connection.encode() + b"\r\n" in answer.head
        assert said == (connection == "close" or version == "1.0")


def test_an_empty_file(files: Files) -> None:
    for fields in ((), ("Range: bytes=0-",), ("Range: bytes=-5",)):
        reply = get(files, "/empty.txt", *fields)
        assert (reply.status, reply.fields["content-length"]) == (200, "0")


def test_a_file_that_takes_the_place_of_another_has_another_tag(tmp_path: Path) -> None:
    """Of the same size and age."""
    files, path = Files(str(tmp_path)), tmp_path / "file"
    said = []
    for text in ("one", "two"):
        (tmp_path / "new").write_text(text)
        os.utime(tmp_path / "new", (OLD_S, OLD_S))
        os.replace(tmp_path / "new", path)
        said += [as_it_is(files), as_it_is(files)]
    files.close()
    assert said[0] == said[1] != said[2] == said[3]
    assert {date for _, date in said} == {OLD}


@pytest.mark.parametrize("change", ["st_ino", "st_size", "st_ctime_ns"])
def test_whatever_changes_a_file_changes_its_tag(
    change: str, files: Files, monkeypatch: pytest.MonkeyPatch, outside: Path
) -> None:
    before, _ = as_it_is(files)
    found = os.stat(outside / "root" / "file")
    names = ("st_mode", "st_ino", "st_size", "st_ctime_ns", "st_mtime_ns")
    same = {name: getattr(found, name) for name in names}
    monkeypatch.setattr("os.fstat", lambda _: SimpleNamespace(**same))
    assert as_it_is(files)[0] == before
    changed = same | {change: same[change] + 1}
    monkeypatch.setattr("os.fstat", lambda _: SimpleNamespace(**changed))
    assert as_it_is(files)[0] != before


@pytest.mark.parametrize(
    ("modified_ns", "date"),
    [
        (OLD_S * 10**9 + 999_999_999, OLD),  # a float would be rounded up
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (-1, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (-(2**31) * 10**9, "Thu, 01 Jan 1970 00:00:00 GMT"),
    ],
)
def test_the_date_is_in_whole_seconds_since_1970(
    modified_ns: int, date: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(TEXT)
    os.utime(tmp_path / "file", ns=(0, modified_ns))
    files = Files(str(tmp_path))
    assert as_it_is(files)[1] == date
    assert get(files, "/file", f"If-Modified-Since: {date}").status == 304
    files.close()


def test_no_file_is_from_the_future(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(TEXT)
    os.utime(tmp_path / "file", (2**33, 2**33))
    files = Files(str(tmp_path))
    reply = get(files, "/file")
    modified, date = (
        parsedate_to_datetime(reply.fields[name]) for name in ("last-modified", "date")
    )
    assert modified <= date
    files.close()


# -- conditions and ranges -----------------------------------------------------------------


def test_who_has_it_does_not_get_it_again(files: Files) -> None:
    etag, date = as_it_is(files)
    for field in (
        f"If-None-Match: {etag}",
        f'If-None-Match: "x", W/{etag}',
        f"If-Modified-Since: {date}",
    ):
        for method in ("GET", "HEAD"):
            reply = get(files, "/file", field, "Range: bytes=0-1", method=method)
            assert (reply.status, reply.body) == (304, b"")
            assert (reply.fields["etag"], reply.fields["last-modified"]) == (etag, date)
            assert reply.fields.keys() == {"date", "etag", "last-modified", "accept-ranges"}


def test_who_has_another_gets_this_one(files: Files) -> None:
    before = formatdate(OLD_S - 1, usegmt=True)
    for field in ('If-None-Match: "x"', f"If-Modified-Since: {before}"):
        assert get(files, "/file", field).body == TEXT


def test_who_insists_on_another_gets_none(files: Files) -> None:
    etag, _ = as_it_is(files)
    reply = get(files, "/file", 'If-Match: "x"', "Range: bytes=0-1")
    assert (reply.status, reply.body) == (412, b"412 Precondition Failed\n")
    reply = get(files, "/file", f"If-Match: {etag}", "Range: bytes=0-1")
    assert (reply.status, reply.body) == (206, b"01")


@pytest.mark.parametrize(
    ("text", "body", "content_range"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=8-", b"89", "bytes 8-9/10"),
        ("bytes=8-100", b"89", "bytes 8-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-30", TEXT, "bytes 0-9/10"),
        ("bytes=0-", TEXT, "bytes 0-9/10"),
        ("bytes=10-", None, "bytes */10"),
        ("bytes=-0", None, "bytes */10"),
        ("bytes=4-2", TEXT, None),
        ("bytes=0-1,3-4", TEXT, None),
        ("bytes= -", TEXT, None),
    ],
)
def test_parts(text: str, body: bytes | None, content_range: str | None, files: Files) -> None:
    whole = get(files, "/file")
    reply = get(files, "/file", f"Range: {text}")
    assert reply.fields.get("content-range") == content_range
    if body is None:
        assert (reply.status, reply.body) == (416, b"416 Range Not Satisfiable\n")
        return
    assert (reply.status, reply.body) == (206 if content_range else 200, body)
    assert int(reply.fields["content-length"]) == len(body)
    for name in ("etag", "last-modified", "content-type", "accept-ranges"):
        assert reply.fields[name] == whole.fields[name]
    assert get(files, "/file", f"Range: {text}", method="HEAD") == whole._replace(body=b"")


def test_the_rest_of_what_the_client_has_or_all_of_another(files: Files) -> None:
    etag, date = as_it_is(files)
    for condition, status in ((etag, 206), (date, 206), (f"W/{etag}", 200), ('"x"', 200)):
        reply = get(files, "/file", "Range: bytes=8-", f"If-Range: {condition}")
        assert (reply.status, reply.body) == (status, b"89" if status == 206 else TEXT)


def test_files_may_be_huge(tmp_path: Path) -> None:
    size = 5 << 30
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(size)
        file.seek(size - 4)
        file.write(b"tail")
    files = Files(str(tmp_path))
    assert get(files, "/huge", method="HEAD").fields["content-length"] == str(size)
    reply = get(files, "/huge", f"Range: bytes={size - 5}-")
    assert (reply.status, reply.body) == (206, b"\0tail")
    assert reply.fields["content-range"] == f"bytes {size - 5}-{size - 1}/{size}"
    answer = answer_to(files, asked("/huge"))
    assert answer is not None
    assert answer.file is not None
    assert (answer.body_bytes, answer.file.start, answer.file.stop) == (size, 0, size)
    os.close(answer.file.fd)
    files.close()


# -- what goes wrong -----------------------------------------------------------------------


def test_what_may_not_be_read_is_forbidden(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_bytes(TEXT)
    (tmp_path / "file").chmod(0)
    (tmp_path / "folder").mkdir(0)
    files = Files(str(tmp_path))
    user = os.geteuid()
    os.seteuid(user or NOBODY)
    try:
        for target in ("/file", "/folder", "/folder/", "/folder/file"):
            assert get(files, target).body == b"403 Forbidden\n"
            assert get(files, target, method="HEAD").status == 403
        assert answer_to(files, asked("/none")) is None
    finally:
        os.seteuid(user)
    files.close()


def test_a_directory_whose_index_cannot_be_looked_at_has_none(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "index.html").write_bytes(TEXT)
    (tmp_path / "folder").chmod(0o444)
    files = Files(str(tmp_path))
    user = os.geteuid()
    os.seteuid(user or NOBODY)
    try:
        assert answer_to(files, asked("/folder")) is None
    finally:
        os.seteuid(user)
    files.close()


@pytest.mark.parametrize("at", ["dup", "open", "stat", "fstat"])
def test_a_fault_is_raised_and_leaves_nothing_open(
    at: str, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(f"os.{at}", fail)
        with pytest.raises(OSError, match="Input/output error"):
            answer_to(files, asked("/a/b/file"))


def test_the_root_may_be_a_link(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "root").symlink_to(outside / "root")
    files = Files(str(tmp_path / "root"))
    assert get(files, "/file").body == TEXT
    files.close()


def test_the_root_has_to_be_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"opening --root '.*/file': it is not a directory"):
        Files(str(tmp_path / "file"))
    with pytest.raises(NotFound, match=r"opening --root .*ENOENT"):
        Files(str(tmp_path / "none"))
