"""Reads filter expressions: the words of ``ss`` unchanged, and comparisons of any column.

``state established sport = :443``, ``dst 10.0.0.0/8 and not dport = :22``,
``rtt > 50ms and retrans > 1% and process = nginx``.  ``not`` binds tightest, then ``and``
(which may be left out), then ``or``.  Text in quotes is taken as it is; a doubled quote
inside stands for one.

Nothing is looked up here: names of services and interfaces go through functions of the
caller, host names are refused.  The only exception that leaves is ``FilterError``.

Sources: misc/ssfilter.y and scan_state(), parse_hostcond() in misc/ss.c of iproute2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final, NamedTuple, NoReturn, TypeVar

from tcptool.catalog.columns import (
    ADDRESS,
    COLUMNS,
    COOKIE,
    HOLDERS,
    TEXT,
    Column,
    Info,
    column_names,
)
from tcptool.catalog.diag import ALL_STATES, NO_COOKIE
from tcptool.catalog.registry import UNLIMITED, members
from tcptool.catalog.states import CLOSE, LISTEN, TCP_STATES, TIME_WAIT
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.errors import UsageError
from tcptool.model.filter import And, Compare, Filter, Host, Not, Or, States
from tcptool.sansio.suggest import did_you_mean
from tcptool.units import parse_value

Lookup = Callable[[str], int | None]
T = TypeVar("T")

MAX_DEPTH: Final = 100
"""Nested ``not`` and parentheses; keeps every walk far from Python's recursion limit."""

_MAX_NUMBER_LENGTH: Final = 40
"""Characters of a number; twice what 64 bits need, and never infinite as a float."""

_EXCERPT: Final = 60
"""Characters of a long expression that an error shows on each side of the mistake."""

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<symbol> <= | >= | == | != | <> | && | \|\| | [()<>=~!&|] )
      | (?P<text> '(?:[^']|'')*' | "(?:[^"]|"")*" )
      | (?P<word> [^\s()<>=~!&|'"]+ )
      | (?P<open> ['"] )
    )""",
    re.VERBOSE,
)

_OPERATORS: Final = {
    "=": "=", "==": "=", "eq": "=",
    "!=": "!=", "<>": "!=", "ne": "!=", "neq": "!=",
    "<": "<", "lt": "<", "<=": "<=", "le": "<=", "leq": "<=",
    ">": ">", "gt": ">", ">=": ">=", "ge": ">=", "geq": ">=",
    "~": "~",
}  # fmt: skip
_AND: Final = frozenset({"and", "&", "&&"})
_OR: Final = frozenset({"or", "|", "||"})
_NOT: Final = frozenset({"not", "!"})
_STATE_WORDS: Final = frozenset({"state", "exclude", "excl"})
_HOST_WORDS: Final = {"src": "local", "dst": "peer"}
_PORT_WORDS: Final = {"sport": "local_port", "dport": "peer_port"}
_OTHER_SS_WORDS: Final = {"dev": "ifindex", "fwmark": "mark", "cgroup": "cgroup"}

_EQUALITY: Final = ("=", "!=")
_TEXT_OPERATORS: Final = ("=", "!=", "~")
_ORDER: Final = ("=", "!=", "<", "<=", ">", ">=")

_SYN_SENT: Final = 2
_SYN_RECV: Final = 3
_ALL: Final = frozenset(number for number in TCP_STATES if ALL_STATES >> number & 1)
_CONNECTED: Final = _ALL - {CLOSE, LISTEN}
_BUCKET: Final = frozenset({_SYN_RECV, TIME_WAIT})

STATE_NAMES: Final[dict[str, frozenset[int]]] = {
    **{TCP_STATES[number].word: frozenset({number}) for number in sorted(_ALL)},
    "listening": frozenset({LISTEN}),
    "closed": frozenset({CLOSE}),
    "unconnected": frozenset({CLOSE}),
    "syn-rcv": frozenset({_SYN_RECV}),
    "all": _ALL,
    "connected": _CONNECTED,
    "synchronized": _CONNECTED - {_SYN_SENT},
    "bucket": _BUCKET,
    "big": _ALL - _BUCKET,
}
"""What may follow ``state`` and ``exclude``: scan_state() in misc/ss.c."""

_COMMON_SERVICES: Final = (
    "ssh", "smtp", "domain", "http", "https", "pop3", "imap2", "imaps", "ldap", "ldaps", "nfs",
    "mysql", "postgresql", "kerberos", "bgp", "rsync",
)  # fmt: skip
"""Offered for a misspelt service, where the caller knows them: a service table cannot be listed."""


class FilterError(UsageError):
    """The expression cannot be understood.  ``position`` is the index of the mistake."""

    def __init__(self, text: str, position: int, why: str) -> None:
        hint = 'a filter looks like this: "state established and rtt > 50ms"'
        super().__init__("reading the filter", f"{why}\n{_excerpt(text, position)}", hint)
        self.position = position


def printable(text: str) -> str:
    """``text`` with control characters written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _excerpt(text: str, position: int) -> str:
    """The expression, and below it a caret under ``position``."""
    start, end = max(position - _EXCERPT, 0), position + _EXCERPT
    before = ("…" if start else "") + printable(text[start:position])
    after = printable(text[position:end]) + ("…" if end < len(text) else "")
    return f"  {before}{after}\n  {' ' * len(before)}^"


def no_names(name: str) -> None:
    """Knows no service and no interface."""


def filter_words() -> list[str]:
    """Every word with which a condition may begin."""
    return [*column_names(), *_STATE_WORDS, *_HOST_WORDS, *_PORT_WORDS, *_OTHER_SS_WORDS]


def parse_filter(
    text: str, *, service_port: Lookup = no_names, interface_index: Lookup = no_names
) -> Filter | None:
    """The filter that ``text`` describes; None for an empty text, which accepts everything.

    ``service_port`` and ``interface_index`` turn a name into its number, or None.
    Raises FilterError.
    """
    parser = _Parser(text, service_port, interface_index)
    return parser.expression() if parser.token.kind != "end" else None


class _Token(NamedTuple):
    kind: str  # symbol, text (quoted), word or end
    text: str
    position: int


def _tokens(text: str) -> list[_Token]:
    tokens = []
    position = 0
    while match := _TOKEN.match(text, position):
        kind = match.lastgroup or ""
        found, start = match[kind], match.start(kind)
        if kind == "open":
            raise FilterError(text, start, f"this quote is not closed: expected another {found}")
        if kind == "text":
            found = found[1:-1].replace(found[0] * 2, found[0])
        tokens.append(_Token(kind, found, start))
        position = match.end()
    tokens.append(_Token("end", "", len(text)))
    return tokens


class _Parser:
    """Recursive descent; ``token`` is the next one."""

    def __init__(self, text: str, service_port: Lookup, interface_index: Lookup) -> None:
        self._text = text
        self._service_port = service_port
        self._interface_index = interface_index
        self._tokens = _tokens(text)
        self._index = 0
        self._depth = 0

    @property
    def token(self) -> _Token:
        return self._tokens[self._index]

    def _at(self, words: Collection[str], ahead: int = 0) -> bool:
        """Whether an unquoted word or symbol is one of ``words``."""
        token = self._tokens[min(self._index + ahead, len(self._tokens) - 1)]
        return token.kind in ("word", "symbol") and token.text.lower() in words

    def _take(self) -> _Token:
        token = self.token
        self._index += 1
        return token

    def _fail(self, token: _Token, why: str) -> NoReturn:
        raise FilterError(self._text, token.position, why)

    def _expected(self, what: str) -> NoReturn:
        if self.token.kind == "end":
            self._fail(self.token, f"expected {what}, but the filter ends here")
        self._fail(self.token, f"expected {what}, not {_quoted(self.token.text)}")

    # --- the grammar -------------------------------------------------------------------------

    def expression(self) -> Filter:
        """The whole text.  ``ss`` applies leading states to all that follows, ``or`` included."""
        found = self._leading_states() or self._any()
        if self.token.kind != "end":
            self._expected("'and', 'or' or the end")
        return found

    def _leading_states(self) -> Filter | None:
        if not self._at_bare_state():
            return None
        states = self._states()
        if self.token.kind == "end":
            return states
        if self._at(_AND | _OR):
            self._index = 0
            return None
        rest = self._any()
        return And((states, *(rest.operands if isinstance(rest, And) else (rest,))))

    def _any(self) -> Filter:
        operands = [self._all()]
        while self._at(_OR):
            self._take()
            operands.append(self._all())
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _all(self) -> Filter:
        operands = [self._unary()]
        while self.token.kind != "end" and not self._at(_OR | {")"}):
            if self._at(_AND):
                self._take()
            operands.append(self._unary())
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _unary(self) -> Filter:
        if not self._at(_NOT | {"("}):
            return self._condition()
        opening = self._take()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(opening, f"more than {MAX_DEPTH} levels of 'not' and parentheses")
        if opening.text == "(":
            found = self._any()
            if not self._at({")"}):
                self._expected("')'")
            self._take()
        else:
            found = Not(self._unary())
        self._depth -= 1
        return found

    def _condition(self) -> Filter:
        if self.token.kind != "word" or self._at(_AND | _OR | _OPERATORS.keys()):
            self._expected("a condition")
        if self._at_bare_state():
            return self._states()
        token = self._take()
        word = token.text.lower()
        if word in _HOST_WORDS:
            return self._host(_HOST_WORDS[word])
        if word in _PORT_WORDS:
            return self._port(_PORT_WORDS[word], optional=True)
        if word == "dev":
            return self._compare("ifindex", self._device, _EQUALITY, optional=True)
        if word == "fwmark":
            return self._compare("mark", _mark, _EQUALITY, optional=True)
        if word == "cgroup":
            return self._cgroup()
        if word == "autobound":
            self._fail(token, "'autobound' is not supported: sock_diag does not report it")
        name = column_names().get(word)
        if name is None:
            self._fail(token, _unknown_column(word))
        return self._column(COLUMNS[name])

    def _at_bare_state(self) -> bool:
        return self._at(_STATE_WORDS) and not self._at(_OPERATORS, ahead=1)

    def _states(self) -> States:
        """``state X state Y exclude Z``: any of the states that are named, as ``ss`` has it."""
        numbers = frozenset() if self._at({"state"}) else _ALL
        while self._at_bare_state():
            excluded = self._take().text.lower() != "state"
            named = self._value(_state, "the name of a state")
            numbers = numbers - named if excluded else numbers | named
        return States(numbers)

    def _column(self, column: Column) -> Filter:
        """A comparison with a column that was named in full or by an alias."""
        if column.name in _PORT_WORDS.values():
            return self._port(column.name)
        if column.kind == ADDRESS:
            return self._address(column.name)
        if column.name == "state":
            equal = self._operator(_EQUALITY) == "="
            states = States(self._value(_state, "the name of a state"))
            return states if equal else Not(states)
        if words := column.words or column.flags:
            known = [meaning.word for meaning in words.values()]
            return self._compare(
                column.name, lambda text: _one_of(known, text, column.name), _EQUALITY
            )
        if column.kind == COOKIE:
            return self._compare(column.name, lambda text: f"{parse_cookie(text):x}", _EQUALITY)
        if column.kind in (TEXT, HOLDERS):
            return self._compare(column.name, str, _TEXT_OPERATORS)
        return self._number(column)

    def _number(self, column: Column) -> Filter:
        operator = self._operator(_ORDER)
        if operator in _EQUALITY and self._at({UNLIMITED}) and _may_be_unlimited(column):
            self._take()
            return Compare(column.name, operator, UNLIMITED)
        return Compare(column.name, operator, self._value(lambda text: _number(text, column)))

    def _host(self, side: str) -> Filter:
        operator = self._operator(_EQUALITY, optional=True)
        host = self._value(
            lambda text: parse_host(text, side, self._service_port),
            "an address such as 10.0.0.0/8, 10.0.0.1:443, [::1]:443 or :443",
        )
        return host if operator == "=" else Not(host)

    def _address(self, column: str) -> Filter:
        operator = self._operator(_TEXT_OPERATORS)
        if operator == "~":
            return Compare(column, operator, self._value(str))
        address, bits = self._value(parse_network, "an address such as 10.0.0.1 or 10.0.0.0/8")
        host = Host(column.removesuffix("_address"), address, bits)
        return host if operator == "=" else Not(host)

    def _port(self, column: str, *, optional: bool = False) -> Filter:
        return self._compare(
            column,
            lambda text: parse_port(text.removeprefix(":"), self._service_port),
            _ORDER,
            optional=optional,
        )

    def _cgroup(self) -> Filter:
        operator = self._operator(_TEXT_OPERATORS, optional=True)
        return Compare("cgroup", operator, self._value(str if operator == "~" else _cgroup_path))

    def _compare(
        self,
        column: str,
        read: Callable[[str], int | str],
        operators: Collection[str],
        *,
        optional: bool = False,
    ) -> Compare:
        operator = self._operator(operators, optional=optional)
        return Compare(column, operator, self._value(read))

    # --- operators and values ----------------------------------------------------------------

    def _operator(self, accepted: Collection[str], *, optional: bool = False) -> str:
        """The operator that stands next; ``=`` where it may be left out, as in ``ss``."""
        if not self._at(_OPERATORS):
            if optional:
                return "="
            self._expected(f"one of {' '.join(accepted)}")
        operator = _OPERATORS[self.token.text.lower()]
        if operator not in accepted:
            self._expected(f"one of {' '.join(accepted)}")
        self._take()
        return operator

    def _value(self, read: Callable[[str], T], what: str = "a value") -> T:
        if self.token.kind not in ("word", "text") or self._at(_AND | _OR | _NOT):
            self._expected(what)
        token = self._take()
        try:
            return read(token.text)
        except ValueError as exc:
            self._fail(token, str(exc))

    def _device(self, text: str) -> int:
        index = self._interface_index(text) if text.isprintable() else None
        if index is None and _is_digits(text) and len(text) <= 10:
            index = int(text)
        if index is None:
            raise ValueError(f"there is no interface {_quoted(text)}")
        return index


# --- values: each function raises ValueError with what was wrong and what is accepted --------


def _quoted(text: str) -> str:
    """A piece of the input, fit to be shown."""
    return f"'{printable(text[:_EXCERPT])}{'…' if len(text) > _EXCERPT else ''}'"


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _unknown_column(word: str) -> str:
    if word in STATE_NAMES:
        return f"{_quoted(word)} is a state: write 'state {word}'"
    known = filter_words()
    return f"there is no column {_quoted(word)}" + did_you_mean(word, known)


def _one_of(known: Collection[str], text: str, what: str) -> str:
    word = text.lower()
    if word not in known:
        suggestion = did_you_mean(word, known) or f": it is one of {', '.join(known)}"
        raise ValueError(f"{_quoted(text)} is not a value of {what}{suggestion}")
    return word


def _state(text: str) -> frozenset[int]:
    return STATE_NAMES[_one_of(STATE_NAMES, text, "state")]


def _number(text: str, column: Column) -> float:
    if len(text) > _MAX_NUMBER_LENGTH:
        raise ValueError(f"{_quoted(text)} is too long for a number")
    if not column.unit and re.fullmatch("0[xX][0-9a-fA-F]+", text):
        return int(text, 16)
    return parse_value(text, column.unit)


def _may_be_unlimited(column: Column) -> bool:
    source = column.source
    return isinstance(source, Info) and members(TcpInfo)[source.field].unlimited is not None


def _mark(text: str) -> int:
    if "/" in text:
        raise ValueError("a mask is not supported: give the whole mark, such as 0x10")
    if not re.fullmatch("0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}", text):
        raise ValueError(f"{_quoted(text)} is not a mark such as 16 or 0x10")
    return int(text, 16) if text[:2] in ("0x", "0X") else int(text)


def _cgroup_path(text: str) -> str:
    """``ss`` takes a path of the file system or one below the mount; the column is the latter."""
    return "/" + text.removeprefix("/sys/fs/cgroup").strip("/")


def parse_cookie(text: str) -> int:
    """A cookie in hexadecimal, as ``ss -e`` prints it: ``sk:1a``, ``1a`` or ``0x1a``."""
    digits = text.lower().removeprefix("sk:").removeprefix("0x").lstrip("0")
    if not re.fullmatch("[0-9a-f]{1,16}", digits) or int(digits, 16) == NO_COOKIE:
        raise ValueError(f"{_quoted(text)} is not a socket cookie such as sk:1a")
    return int(digits, 16)


def parse_port(text: str, service_port: Lookup = no_names) -> int:
    """0 to 65535, or what ``service_port`` knows."""
    if _is_digits(text):
        number = int(text) if len(text) <= 5 else -1
        if not 0 <= number <= 0xFFFF:
            raise ValueError(f"{_quoted(text)} is not a port: ports are 0 to 65535")
        return number
    port = service_port(text) if text.isprintable() else None
    if port is None:
        known = [name for name in _COMMON_SERVICES if service_port(name) is not None]
        suggestion = did_you_mean(text, known) or ": give the number"
        raise ValueError(f"{_quoted(text)} is not a port or a known service{suggestion}")
    return port


def parse_network(text: str) -> tuple[bytes, int]:
    """``ADDRESS[/BITS]``: the packed network address and the length of its prefix.

    An IPv4 address with a prefix may be cut short, as in ``ss``: ``10/8``.
    """
    import ipaddress  # costs 3 ms; few filters hold an address

    address_text, slash, bits_text = text.partition("/")
    if slash and ":" not in address_text:
        address_text += ".0" * (3 - address_text.count("."))
    try:
        if "%" in text:
            raise ValueError
        packed = ipaddress.ip_address(address_text).packed
    except ValueError:
        why = "is not an IP address; host names are not looked up"
        raise ValueError(f"{_quoted(text)} {why}") from None
    size = 8 * len(packed)
    if not slash:
        return packed, size
    bits = int(bits_text) if _is_digits(bits_text) and len(bits_text) <= 3 else size + 1
    if bits > size:
        raise ValueError(f"{_quoted(bits_text)} is not a prefix length from 0 to {size}")
    host_bits = size - bits
    network = int.from_bytes(packed, "big") >> host_bits << host_bits
    return network.to_bytes(len(packed), "big"), bits


def parse_host(text: str, side: str, service_port: Lookup = no_names) -> Host:
    """``ADDRESS[/BITS][:PORT]``, ``[IPV6][:PORT]`` or ``:PORT``; ``*`` stands for any."""
    if text.startswith("["):
        address, closed, after = text[1:].partition("]")
        prefix, _, port = after.partition(":")
        if not closed or (prefix and not prefix.startswith("/")):
            raise ValueError(f"expected [IPV6]:PORT, not {_quoted(text)}")
        address += prefix
    elif text.count(":") > 1:  # a bare IPv6 address: a port would need brackets
        address, port = text, ""
    else:
        address, _, port = text.rpartition(":") if ":" in text else (text, "", "")
    number = None if port in ("", "*") else parse_port(port, service_port)
    if address in ("", "*"):
        return Host(side, port=number)
    return Host(side, *parse_network(address), number)
