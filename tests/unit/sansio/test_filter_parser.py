"""Filter expressions: what they mean, that they are read back unchanged, and their errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog.columns import COLUMNS, column_names
from tcptool.errors import UsageError
from tcptool.model.filter import And, Compare, Filter, Host, Not, Or, States
from tcptool.sansio.filter_parser import MAX_DEPTH, STATE_NAMES, FilterError, parse_filter
from tests.support.filter_reference import evaluate
from tests.unit.sansio.filters import FILTERS, show

SERVICES = {"http": 80, "https": 443}
DEVICES = {"lo": 1, "eth0": 2, "7": 70}

HTTPS = Compare("local_port", "=", 443)
TEN = Host("local", b"\x0a\0\0\0", 8)


def parse(text: str) -> Filter | None:
    return parse_filter(text, service_port=SERVICES.get, interface_index=DEVICES.get)


def states(*numbers: int) -> States:
    return States(frozenset(numbers))


MEANINGS: dict[str, Filter | None] = {
    "": None,
    " \n ": None,
    # states, as scan_state() of misc/ss.c has them
    "state established": states(1),
    "STATE Established": states(1),
    "state syn-sent state time-wait": states(2, 6),
    "state connected exclude syn-sent": states(*{*range(1, 12)} - {2, 7, 10}),
    "exclude listening": states(*{*range(1, 12)} - {10}),
    "excl close excl all": states(),
    "state synchronized": states(*{*range(1, 12)} - {2, 7, 10}),
    "state bucket": states(3, 6),
    "state big": states(1, 2, 4, 5, 7, 8, 9, 10, 11),
    "state closed": states(7),
    "state = listen": states(10),
    "state != listen": Not(states(10)),
    "state eq listen state ne close": And((states(10), Not(states(7)))),
    # leading states stand outside of `or`, as the command line of ss has it
    "state listen sport = :443": And((states(10), HTTPS)),
    "state listen sport = :443 or src 10/8": And((states(10), Or((HTTPS, TEN)))),
    "state listen sport = :443 src 10/8": And((states(10), HTTPS, TEN)),
    "state listen and sport = :443 or src 10/8": Or((And((states(10), HTTPS)), TEN)),
    "state listen or sport = :443": Or((states(10), HTTPS)),
    "sport = :443 state listen": And((HTTPS, states(10))),
    # ports
    "sport = :443": HTTPS,
    "sport=:443": HTTPS,
    "sport 443": HTTPS,
    "sport :https": HTTPS,
    "local_port = https": HTTPS,
    "lport == '443'": HTTPS,
    "dport != 22": Compare("peer_port", "!=", 22),
    "dport <> 22": Compare("peer_port", "!=", 22),
    "dport neq 22": Compare("peer_port", "!=", 22),
    "sport >= :1024": Compare("local_port", ">=", 1024),
    "sport geq 1024": Compare("local_port", ">=", 1024),
    "sport leq 1024": Compare("local_port", "<=", 1024),
    "sport lt 1024": Compare("local_port", "<", 1024),
    "sport GT 0": Compare("local_port", ">", 0),
    # hosts
    "src 10.0.0.0/8": TEN,
    "src = 10.9.8.7/8": TEN,
    "src != 10/8": Not(TEN),
    "dst 10.0.0.1:443": Host("peer", b"\x0a\0\0\1", 32, 443),
    "dst 10.0.0.0/8:https": Host("peer", b"\x0a\0\0\0", 8, 443),
    "src [::1]:80": Host("local", bytes(15) + b"\1", 128, 80),
    "src [::1]": Host("local", bytes(15) + b"\1", 128),
    "src ::1": Host("local", bytes(15) + b"\1", 128),
    "src [fe80::1/10]:80": Host("local", b"\xfe\x80" + bytes(14), 10, 80),
    "src [fe80::1]/10:*": Host("local", b"\xfe\x80" + bytes(14), 10),
    "src fe80::1/10": Host("local", b"\xfe\x80" + bytes(14), 10),
    "src 0.0.0.0/0": Host("local", bytes(4), 0),
    "dst :443": Host("peer", None, 0, 443),
    "dst *:443": Host("peer", None, 0, 443),
    "dst *": Host("peer"),
    "peer_address = 10.0.0.1": Host("peer", b"\x0a\0\0\1", 32),
    "local_address != 10.0.0.0/8": Not(TEN),
    "peer_address ~ 10.": Compare("peer_address", "~", "10."),
    # the other words of ss
    "dev lo": Compare("ifindex", "=", 1),
    "dev != eth0": Compare("ifindex", "!=", 2),
    "dev 7": Compare("ifindex", "=", 70),
    "dev 9": Compare("ifindex", "=", 9),
    "ifindex = 9": Compare("ifindex", "=", 9),
    "fwmark 0x10": Compare("mark", "=", 16),
    "fwmark != 16": Compare("mark", "!=", 16),
    "cgroup /user.slice": Compare("cgroup", "=", "/user.slice"),
    "cgroup = /sys/fs/cgroup/a/b/": Compare("cgroup", "=", "/a/b"),
    "cgroup != a": Compare("cgroup", "!=", "/a"),
    "cgroup ~ user": Compare("cgroup", "~", "user"),
    # any column
    "rtt > 50ms": Compare("rtt_us", ">", 50_000),
    "rtt_us > 50": Compare("rtt_us", ">", 50),
    "tcpi_rtt > 50us": Compare("rtt_us", ">", 50),
    "retrans > 1%": Compare("retrans_percent", ">", 1),
    "retrans > 0.5": Compare("retrans_percent", ">", 0.5),
    "recvq >= 64K": Compare("receive_queue_bytes", ">=", 65_536),
    "delivery_rate < 20mbit": Compare("delivery_rate_bytes_per_s", "<", 2_500_000),
    "mark = 0x1F": Compare("mark", "=", 31),
    "max_pacing_rate = Unlimited": Compare("max_pacing_rate_bytes_per_s", "=", "unlimited"),
    "process = nginx": Compare("process", "=", "nginx"),
    "process ~ 'my \"app'": Compare("process", "~", 'my "app'),
    'process != "it""s"': Compare("process", "!=", 'it"s'),
    "process = 'and'": Compare("process", "=", "and"),
    "comm = ''": Compare("process", "=", ""),
    "timer = Persist": Compare("timer", "=", "persist"),
    "options = sack": Compare("options", "=", "sack"),
    "cookie = sk:1A": Compare("cookie", "=", "1a"),
    "cookie != 0x01a": Compare("cookie", "!=", "1a"),
    # structure
    "(sport = :443)": HTTPS,
    "not sport 443": Not(HTTPS),
    "!sport 443": Not(HTTPS),
    "! ! sport 443": Not(Not(HTTPS)),
    "not sport 443 src 10/8 | src 10/8": Or((And((Not(HTTPS), TEN)), TEN)),
    "sport 443 && src 10/8 || src 10/8": Or((And((HTTPS, TEN)), TEN)),
    "sport 443 & src 10/8 & src 10/8": And((HTTPS, TEN, TEN)),
    "sport 443 AND (src 10/8 OR src 10/8)": And((HTTPS, Or((TEN, TEN)))),
    "(" * MAX_DEPTH + "sport 443" + ")" * MAX_DEPTH: HTTPS,
}


@pytest.mark.parametrize("text", MEANINGS)
def test_meaning(text: str) -> None:
    assert parse(text) == MEANINGS[text]


@pytest.mark.parametrize("name", sorted(STATE_NAMES))
def test_every_state_name_is_a_set_of_states(name: str) -> None:
    assert parse(f"state {name}") == States(STATE_NAMES[name])


@pytest.mark.parametrize("name", sorted(set(column_names()) - {"state", "dev", "cgroup"}))
def test_every_spelling_of_a_column_is_accepted(name: str) -> None:
    column = COLUMNS[column_names()[name]]
    words = column.words or column.flags
    value = next(iter(words.values())).word if words else "10.0.0.1" if "addr" in name else "1"
    assert parse(f"{name} = {value}") is not None


@given(FILTERS)
def test_text_of_a_filter_is_read_back(filter: Filter) -> None:
    assert parse(show(filter)) == filter


# Each with the index of the mistake and a part of the message.
MISTAKES = {
    "sport = :443 and": (16, "expected a condition, but the filter ends here"),
    "sport = :443 )": (13, "expected 'and', 'or' or the end, not ')'"),
    "(sport = :443": (13, "expected ')', but the filter ends"),
    "( )": (2, "expected a condition, not ')'"),
    "and": (0, "expected a condition, not 'and'"),
    "= 3": (0, "expected a condition, not '='"),
    "'rtt' > 3": (0, "expected a condition, not 'rtt'"),
    "state": (5, "expected the name of a state"),
    "state established )": (18, "expected a condition"),
    "state establishd": (6, "'establishd' is not a value of state; did you mean established?"),
    "state zzz": (6, "it is one of established, syn-sent"),
    "state > listen": (6, "expected one of = !=, not '>'"),
    "established": (0, "write 'state established'"),
    "rrt > 50ms": (0, "there is no column 'rrt'; did you mean rport or rtt"),
    "zzzzzz > 50ms": (0, "there is no column 'zzzzzz'"),
    "rtt 50ms": (4, "expected one of = != < <= > >=, not '50ms'"),
    "rtt": (3, "but the filter ends here"),
    "rtt ~ 50ms": (4, "expected one of = != < <= > >=, not '~'"),
    "rtt > 50parsecs": (6, "such as 50us, 200ms"),
    "rtt > and": (6, "expected a value, not 'and'"),
    "rtt > " + "9" * 41: (6, "is too long for a number"),
    "rtt > unlimited": (6, "is not a duration"),
    "rtt = unlimited": (6, "is not a duration"),
    "pid = unlimited": (6, "is not a number"),
    "process > nginx": (8, "expected one of = != ~"),
    "process = 'nginx": (10, "this quote is not closed: expected another '"),
    "timer = persit": (8, "did you mean persist?"),
    "timer ~ persist": (6, "expected one of = !="),
    "cookie = xyz": (9, "is not a socket cookie such as sk:1a"),
    "cookie = 0": (9, "is not a socket cookie"),
    "cookie = ffffffffffffffff": (9, "is not a socket cookie"),
    "sport = :65536": (8, "ports are 0 to 65535"),
    "sport = 99999999": (8, "ports are 0 to 65535"),
    "sport = :htp": (8, "'htp' is not a port or a known service; did you mean http"),
    "sport = :zzz": (8, "'zzz' is not a port or a known service: give the number"),
    "sport = 'a\x00'": (8, r"'a\x00' is not a port"),
    "dst example.org": (4, "'example.org' is not an IP address; host names are not looked up"),
    "dst 10.0.0": (4, "is not an IP address"),
    "dst 10.0.0.0.0/8": (4, "is not an IP address"),
    "dst 10.0.0.0/33": (4, "'33' is not a prefix length from 0 to 32"),
    "dst 10.0.0.0/x": (4, "'x' is not a prefix length"),
    "dst ::/129": (4, "from 0 to 128"),
    "dst fe80::1%lo": (4, "is not an IP address"),
    "dst [::1": (4, "expected [IPV6]:PORT"),
    "dst [::1]80": (4, "expected [IPV6]:PORT"),
    "dst > 10.0.0.1": (4, "expected one of = !="),
    "dst": (3, "expected an address such as"),
    "peer_address = :80": (15, "is not an IP address"),
    "dev nope": (4, "there is no interface 'nope'"),
    "dev 12345678901": (4, "there is no interface"),
    "dev 'a\x00'": (4, "there is no interface"),
    "fwmark 1/3": (7, "a mask is not supported"),
    "fwmark x": (7, "is not a mark such as 16 or 0x10"),
    "autobound": (0, "'autobound' is not supported"),
    "(" * (MAX_DEPTH + 1) + "rtt": (MAX_DEPTH, "more than 100 levels"),
    "not " * 20_000 + "rtt > 1": (4 * MAX_DEPTH, "more than 100 levels"),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistake(text: str) -> None:
    position, message = MISTAKES[text]
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert message in caught.value.why
    assert caught.value.position == position


def test_error_points_at_the_mistake() -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter("sport = :ssh and\trrt > 50ms")
    assert caught.value.why.splitlines()[1:] == [
        "  sport = :ssh and\\trrt > 50ms",
        "          ^",
    ]


def test_error_shows_control_characters_as_escapes() -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter("process = '\x1b[31m\u202e' and \udc80")
    assert caught.value.why.splitlines() == [
        r"there is no column '\udc80'",
        r"  process = '\x1b[31m\u202e' and \udc80",
        " " * 33 + "^",
    ]


def test_error_in_a_long_expression_shows_the_surroundings() -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter("sport = 1 or " * 1000 + "rrt > 1" + " or sport = 1" * 1000)
    _, shown, caret = caught.value.why.splitlines()
    assert len(shown) < 130
    assert shown[caret.index("^") :].startswith("rrt > 1")


def test_wide_expressions_are_fine() -> None:
    found = parse_filter("sport = 1 or " * 20_000 + "sport = 2")
    assert isinstance(found, Or)
    assert len(found.operands) == 20_001


PIECES = r"""
    state exclude established listen sport dport src dst dev fwmark cgroup rtt process options
    cookie and or not ( ) ! & | = == != <> < <= > >= ~ eq 'x' " ' : :443 [::1]:80 10.0.0.1/8
    10/8:http * 50ms 1% unlimited sk:1a 0x1f [ ] / ²
"""
WORDS = st.sampled_from([*PIECES.split(), "\x00", "\udc80"])


@given(st.text() | st.lists(WORDS).map(" ".join) | st.lists(WORDS | st.characters()).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    error = None
    try:
        found = parse(text)
    except FilterError as exc:
        error = exc
    else:
        assert found is None or evaluate(found, lambda column: None) in (True, False)
    if error is not None:
        assert 0 <= error.position <= len(text)
        assert all(line.isprintable() for line in error.why.splitlines())


# --- what a filter means: filter_eval -------------------------------------------------------------

SOCKET: dict[str, object] = {
    "state": "established",
    "local_packed": bytes(10) + b"\xff\xff\x7f\0\0\1",
    "local_port": 443,
    "process": "nginx",
    "rtt_us": 50,
    "snd_ssthresh_packets": "unlimited",
    "options": ("sack", "wscale"),
    "delivery_rate_app_limited": None,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state established", True),
        ("exclude established", False),
        ("src 127/8", True),
        ("src 127/8:444", False),
        ("src 127/8:443", True),
        ("src 128/8", False),
        ("src ::/0", True),
        ("src ::1", False),
        ("src :443", True),
        ("dst ::/0", False),  # not known
        ("process = nginx", True),
        ("process = Nginx", False),
        ("process ~ gin", True),
        ("process != nginx", False),
        ("rtt >= 50", True),
        ("rtt < 50", False),
        ("rtt = 50", True),
        ("rtt != 50", False),
        ("ssthresh > 100", True),
        ("ssthresh <= 100", False),
        ("ssthresh = unlimited", True),
        ("ssthresh != unlimited", False),
        ("ssthresh != 3", True),
        ("options = sack", True),
        ("options = ecn", False),
        ("options != ecn", True),
        ("delivery_rate_app_limited = 0", False),
        ("delivery_rate_app_limited != 0", False),
        ("not delivery_rate_app_limited = 0", True),
        ("rtt > 3 and process = x", False),
        ("rtt > 3 or process = x", True),
    ],
)
def test_evaluate(text: str, expected: bool) -> None:
    found = parse_filter(text.replace("ssthresh", "snd_ssthresh"))
    assert found is not None
    assert evaluate(found, SOCKET.get) is expected


def test_values_of_different_kinds_differ_and_have_no_order() -> None:
    assert not evaluate(Compare("process", ">", 3), SOCKET.get)
    assert not evaluate(Compare("rtt_us", "=", "50"), SOCKET.get)
    assert not evaluate(Compare("process", "<", "z"), SOCKET.get)
    assert evaluate(Compare("rtt_us", "!=", "50"), SOCKET.get)
    assert not evaluate(Compare("rtt_us", "~", 5), SOCKET.get)
