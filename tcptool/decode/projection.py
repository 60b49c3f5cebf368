"""Turn dump datagrams into rows of just the columns that were asked for, fast.

A list of 50 000 sockets cannot afford a record per socket.  The kernel sends runs of messages
of one *layout* (same length, family, state and attributes at the same offsets), so for every
layout that turns up a ``Struct`` is made that reads only what the columns need, together with
one row function, written as Python source from the catalog and compiled, as ``namedtuple``
does.  Text never enters that source: values are passed as arguments.

A run is proved before it is unpacked, so a different message is never misread: each byte of
the layout's own signs (lengths and types) is looked up in all messages of the run at once.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tcptool.catalog import diag
from tcptool.catalog.columns import (
    COOKIE,
    HOLDERS,
    ID,
    INPUTS,
    NUMBER,
    Attribute,
    Column,
    Derived,
    Endpoint,
    Header,
    Holder,
    Info,
    Protocol,
)
from tcptool.catalog.diag import V4_MAPPED
from tcptool.catalog.registry import UNLIMITED, Member, members
from tcptool.catalog.states import LISTEN, word, words
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.decode.address import address_text
from tcptool.decode.diag_request import cookie_halves
from tcptool.decode.netlink import HEADER, MalformedReply, aligned, attribute_places, name_text
from tcptool.decode.structure import named, places
from tcptool.model import owner as model
from tcptool.model.filter import And, Compare, Filter, Host, Not, Or, States

Row = tuple[Any, ...]
_BODY: Final = HEADER.size
_TYPE: Final = struct.Struct("=H")
_ATTRIBUTE: Final = struct.Struct("=HH")
_WITHOUT_OWNER: Final = frozenset({3, 6, 12})


class Rendering(NamedTuple):
    """How values leave the projection.

    ``text`` turns a string into its final form (a JSON string, a cleaned word); ``quote`` is
    put around text that needs no cleaning; ``many`` joins several words; ``absent`` and
    ``unlimited`` stand for those values.
    """

    text: Callable[[str], str]
    many: Callable[[tuple[Any, ...]], Any]
    quote: str
    absent: Any
    unlimited: Any


RAW: Final = Rendering(
    text=str,
    many=lambda values: ",".join(map(str, values)),
    quote="",
    absent=None,
    unlimited=math.inf,
)
"""For filters and sorting: numbers as numbers, None for absent, infinity for unlimited."""


class Lookups(NamedTuple):
    """What a row needs beyond its message: holders by inode, control groups by id.

    ``complete``: every process could be looked into, so a socket without a holder has none.
    """

    holders: Mapping[int, Sequence[model.Holder]]
    cgroups: Mapping[int, str]
    complete: bool = True


class _Attr(NamedTuple):
    offset: int
    length: int


class _Layout(NamedTuple):
    """What is the same in every message of a run.

    ``attributes`` holds (type with its flags, offset of the value, length of the value);
    offsets count from the netlink header.
    """

    length: int
    family: int
    state: int
    attributes: tuple[tuple[int, int, int], ...]


class _Compiled(NamedTuple):
    step: int
    signs: tuple[tuple[int, bytes], ...]
    values: struct.Struct
    rows: Callable[[Iterator[Row]], list[Row]]

    def run_length(self, datagram: bytes, offset: int) -> int:
        """How many messages, from ``offset`` on, have this layout.

        A slice with a step takes one byte out of every message, which is several times
        faster than to unpack and compare the signs of each.
        """
        step = self.step
        count = (len(datagram) - offset) // step
        for place, sign in self.signs:
            found = datagram[offset + place : offset + count * step : step]
            if found.count(sign) != count:
                count -= len(found.lstrip(sign))
        return count


class Projection:
    """Rows of ``columns`` for the sockets that ``where`` accepts.

    ``keys`` are columns whose raw values follow the rendered ones in each row, for sorting.
    A socket that turns up twice in a dump is given once.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        rendering: Rendering,
        *,
        lookups: Lookups,
        where: Filter | None = None,
        keys: Sequence[Column] = (),
    ) -> None:
        self._columns = columns
        self._rendering = rendering
        self._lookups = lookups
        self._where = where
        self._keys = keys
        self._compiled: dict[tuple[int, _Layout], _Compiled] = {}
        self._memo = _Memos()
        self.unowned = 0
        """Rows so far whose holders could not be seen: they were rendered as absent."""
        self._seen: set[int] = set()

    def rows(self, datagram: bytes, protocol: int) -> list[Row]:
        """The rows of one datagram.  Raises ``MalformedReply``."""
        found: list[Row] = []
        view, offset, end = memoryview(datagram), 0, len(datagram)
        while offset < end:
            layout = _layout_at(datagram, offset)
            compiled = self._compiled.get((protocol, layout))
            if compiled is None:
                compiled = _Compiler(self, layout, protocol).compile()
                self._compiled[protocol, layout] = compiled
            step = compiled.step
            size = compiled.run_length(datagram, offset) * step
            run = view[offset : offset + size]
            if not size:  # the last message of a datagram lacks its padding
                size, run = step, memoryview(datagram[offset:].ljust(step, b"\0"))
            found += compiled.rows(compiled.values.iter_unpack(run))
            offset += size
        return found


def extensions_for(columns: Collection[Column]) -> int:
    """Which attributes the kernel must be asked for to fill these columns."""
    wanted = 0
    for column in columns:
        source = column.source
        if isinstance(source, Info):
            wanted |= diag.EXT_INFO
        elif isinstance(source, Attribute):
            wanted |= source.extension
        elif isinstance(source, Derived):
            wanted |= extensions_for([INPUTS[name] for name in source.inputs])
    return wanted


def columns_in(expression: Filter | None) -> list[Column]:
    """The columns that a filter reads."""
    if isinstance(expression, Compare):
        return [INPUTS[expression.column]]
    if isinstance(expression, Not):
        return columns_in(expression.operand)
    if isinstance(expression, And | Or):
        return [column for operand in expression.operands for column in columns_in(operand)]
    return []


def _layout_at(datagram: bytes, offset: int) -> _Layout:
    if len(datagram) - offset < _BODY + diag.DIAG_MSG_BYTES:
        raise MalformedReply(f"{len(datagram) - offset} bytes where a socket should begin")
    length, type_ = HEADER.unpack_from(datagram, offset)[:2]
    if type_ != diag.SOCK_DIAG_BY_FAMILY:
        raise MalformedReply(f"a message of type {type_} among the sockets")
    if not _BODY + diag.DIAG_MSG_BYTES <= length <= len(datagram) - offset:
        raise MalformedReply(f"a message of {length} bytes in {len(datagram) - offset}")
    message = datagram[offset : offset + length]
    found = tuple(
        (_TYPE.unpack_from(message, place - _TYPE.size)[0], place, size)
        for _, place, size in attribute_places(message, _BODY + diag.DIAG_MSG_BYTES)
    )
    return _Layout(length, message[_BODY], message[_BODY + 1], found)


class _Memos:
    """Texts that repeat from row to row, made once: addresses, words, names."""

    def __init__(self) -> None:
        self._made: dict[object, _Memo] = {}

    def get(self, key: object, make: Callable[[Any], Any]) -> _Memo:
        return self._made.setdefault(key, _Memo(make))


class _Memo(dict[Any, Any]):
    """A dict that makes what it lacks, and forgets everything when it grows too large."""

    LIMIT = 65_536

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __missing__(self, key: Any) -> Any:
        if len(self) >= self.LIMIT:
            self.clear()
        value = self[key] = self._make(key)
        return value


class _Compiler:
    """Writes the two Structs and the row function for one layout.

    Every method named ``_…_source`` returns a Python expression over the unpacked values.
    """

    def __init__(self, projection: Projection, layout: _Layout, protocol: int) -> None:
        self._projection = projection
        self._layout = layout
        self._protocol = protocol
        self._is_mptcp = protocol == diag.IPPROTO_MPTCP
        self._attributes = {
            type_ & diag.ATTR_TYPE_MASK: _Attr(o, n) for type_, o, n in layout.attributes
        }
        self._loads: dict[tuple[int, str], str] = {}
        self._constants: dict[str, Any] = {}

    def compile(self) -> _Compiled:
        render, keep = self._projection._rendering, self._projection._where
        cells = [self._source(column, render) for column in self._projection._columns]
        cells += [self._source(column, RAW) for column in self._projection._keys]
        conditions = [f"not ({self._cookie_seen_source()})"]
        if keep is not None:
            conditions.insert(0, self._filter_source(keep))
        step = aligned(self._layout.length)
        ordered = sorted(self._loads.items())
        values = _struct_of([(offset, code) for (offset, code), _ in ordered], step)
        names = "".join(f"{name}, " for _, name in ordered)
        source = (
            f"def rows(values):\n"
            f"    return [({''.join(f'{cell}, ' for cell in cells)})"
            f" for {names} in values if {' and '.join(conditions)}]\n"
        )
        namespace: dict[str, Any] = dict(self._constants)
        exec(compile(source, "<projection>", "exec"), namespace)
        return _Compiled(step, self._signs(), values, namespace["rows"])

    def _signs(self) -> tuple[tuple[int, bytes], ...]:
        """The bytes that every message of this layout has, and where."""
        layout = self._layout
        signs = [
            (0, struct.pack("=IH", layout.length, diag.SOCK_DIAG_BY_FAMILY)),
            (_BODY, bytes([layout.family, layout.state])),
        ]
        for type_, offset, length in layout.attributes:
            size = _ATTRIBUTE.size
            signs.append((offset - size, _ATTRIBUTE.pack(length + size, type_)))
        return tuple(
            (start + i, sign[i : i + 1]) for start, sign in signs for i in range(len(sign))
        )

    # -- reading -----------------------------------------------------------------------

    def _load(self, offset: int, code: str) -> str:
        return self._loads.setdefault((offset, code), f"v{offset}_{code}")

    def _constant(self, value: Any) -> str:
        name = f"k{len(self._constants)}"
        self._constants[name] = value
        return name

    def _header(self, member: str) -> str:
        place = diag.DIAG_MSG[member]
        if member == "state":
            return str(self._layout.state)
        loaded = self._load(_BODY + place.offset, place.format)
        if place.big_endian and struct.pack("=H", 1) != struct.pack("!H", 1):
            return f"(({loaded} & 255) << 8 | {loaded} >> 8)"
        return loaded

    def _member(self, field: str) -> str | None:
        """The number of a tcp_info field as the kernel sent it, or None if it is not there."""
        info = self._attributes.get(diag.ATTR_INFO)
        about, place = members(TcpInfo)[field], places(TcpInfo)[field]
        unfilled = self._layout.state == LISTEN and not about.listening
        if info is None or place.end > info.length or self._is_mptcp or unfilled:
            return None
        code = {1: "B", 2: "H", 4: "I", 8: "Q"}[place.end - place.offset]
        loaded = self._load(info.offset + place.offset, code)
        if not about.bits:
            return loaded
        return f"({loaded} >> {place.shift} & {(1 << place.bits) - 1})"

    # -- columns -----------------------------------------------------------------------

    def _source(self, column: Column, render: Rendering) -> str:
        """An expression for the column's value, rendered."""
        source = column.source
        if isinstance(source, Header):
            return self._header_source(column, source, render)
        if isinstance(source, Info):
            return self._info_source(source.field, render)
        if isinstance(source, Attribute):
            return self._attribute_source(column, source, render)
        if isinstance(source, Derived):
            return self._derived_source(column, source, render)
        if isinstance(source, Endpoint):
            return self._endpoint_source(source, render)
        if isinstance(source, Holder):
            return self._holder_source(source, render)
        if isinstance(source, Protocol):
            return self._constant(render.text(word(diag.PROTOCOLS, self._protocol)))
        return self._cgroup_source(render)

    def _derived_source(self, column: Column, source: Derived, render: Rendering) -> str:
        """What the function makes of its inputs.

        Calls are what a row costs most.  Where only one input varies in a run (the state does
        not), results are remembered by that input; else the few texts that a function gives
        are, and a number is not finished by a call.
        """
        function, finish = source.function, _finisher(render)
        inputs = [self._input_source(INPUTS[name]) for name in source.inputs]
        fixed = {text: self._fixed(text) for text in inputs if self._is_fixed(text)}
        varying = {text for text in inputs if text not in fixed}
        if len(varying) <= 1:

            def result(reading: Any) -> Any:
                return finish(function(*(fixed.get(text, reading) for text in inputs)))

            if not varying:
                return self._constant(result(None))
            key = (column.name, tuple(fixed.get(text) for text in inputs), id(render))
            return f"{self._memo(key, result)}[{varying.pop()}]"
        call = f"{self._constant(function)}({', '.join(inputs)})"
        if column.kind not in (NUMBER, ID):
            return f"{self._memo((column.name, id(render)), finish)}[{call}]"
        known = f"d{len(self._constants)}"
        return f"({self._absent(render)} if ({known} := {call}) is None else {known})"

    def _is_fixed(self, text: str) -> bool:
        """Is this expression the same for every message of the layout?"""
        return text.isdecimal() or text in self._constants

    def _fixed(self, text: str) -> Any:
        return int(text) if text.isdecimal() else self._constants[text]

    def _input_source(self, column: Column) -> str:
        """An input of a derived column: the kernel's number, or None."""
        if isinstance(column.source, Header):
            return self._header(column.source.member)
        assert isinstance(column.source, Info)
        return self._info_source(column.source.field, RAW)

    def _absent(self, render: Rendering) -> str:
        return self._constant(render.absent)

    def _header_source(self, column: Column, source: Header, render: Rendering) -> str:
        if column.words is not None:
            if source.member in ("family", "state"):
                number = self._layout.family if source.member == "family" else self._layout.state
                return self._constant(render.text(word(column.words, number)))
            return self._word_source(column.words, self._header(source.member), render)
        loaded = self._header(source.member)
        if source.member in ("src", "dst"):
            return f"{self._addresses(render)}[{loaded}]"
        if source.member in ("uid", "inode") and self._layout.state in _WITHOUT_OWNER:
            return self._absent(render)
        if source.member == "expires":
            return f"({loaded} if {self._header('timer')} else {self._absent(render)})"
        if column.kind == COOKIE:
            halves = self._constant(cookie_halves)
            in_order = loaded if sys.byteorder == "little" else f"{halves}({loaded})"
            text = f"f'{render.quote}{{{in_order}:x}}{render.quote}'"
            return f"({text} if {loaded} else {self._absent(render)})"
        return loaded

    def _addresses(self, render: Rendering) -> str:
        family = self._layout.family

        def make(packed: bytes) -> str:
            return render.text(address_text(family, packed))

        return self._memo(("address", family, id(render)), make)

    def _memo(self, key: object, make: Callable[[Any], Any]) -> str:
        return self._constant(self._projection._memo.get(key, make))

    def _word_source(self, table: Any, value: str, render: Rendering) -> str:
        memo = self._memo(("word", id(table), id(render)), lambda n: render.text(word(table, n)))
        return f"{memo}[{value}]"

    def _info_source(self, field: str, render: Rendering) -> str:
        loaded = self._member(field)
        if loaded is None:
            return self._absent(render)
        about = members(TcpInfo)[field]
        shown = self._named_source(about, loaded, render)
        if about.unlimited is not None:
            unlimited = self._constant(render.unlimited)
            shown = f"({unlimited} if {loaded} == {about.unlimited} else {shown})"
        if about.absent is not None:
            shown = f"({self._absent(render)} if {loaded} == {about.absent} else {shown})"
        if about.needs and (needed := self._member(about.needs)) is not None:
            shown = f"({shown} if {needed} else {self._absent(render)})"
        return shown

    def _named_source(self, about: Member, loaded: str, render: Rendering) -> str:
        if about.words is not None:
            return self._word_source(about.words, loaded, render)
        if about.flags is not None or about.hexadecimal:

            def make(number: int) -> str:
                value: Any = named(about, number)
                return render.text(value) if isinstance(value, str) else render.many(value)

            return f"{self._memo((about.name, id(render)), make)}[{loaded}]"
        return loaded

    def _attribute_source(self, column: Column, source: Attribute, render: Rendering) -> str:
        place = self._attributes.get(source.number)
        if place is None:
            return self._absent(render)
        if source.format == "s":
            loaded = self._load(place.offset, f"{place.length}s")
            memo = self._memo(("name", id(render)), lambda raw: render.text(name_text(raw)))
            return f"{memo}[{loaded}]"
        if source.offset + struct.calcsize("=" + source.format) > place.length:
            return self._absent(render)
        loaded = self._load(place.offset + source.offset, source.format)
        if column.flags is not None:
            table = column.flags
            memo = self._memo(
                ("flags", id(table), id(render)), lambda bits: render.many(words(table, bits))
            )
            return f"{memo}[{loaded}]"
        return loaded

    def _endpoint_source(self, source: Endpoint, render: Rendering) -> str:
        address, port = INPUTS[source.address].source, INPUTS[source.port].source
        assert isinstance(address, Header)
        assert isinstance(port, Header)
        family = self._layout.family

        def bracketed(packed: bytes) -> str:
            text = address_text(family, packed)
            return f"[{text}]" if ":" in text else text

        memo = self._memo(("endpoint", family), bracketed)
        addr, number = self._header(address.member), self._header(port.member)
        return f"f'{render.quote}{{{memo}[{addr}]}}:{{{number} or \"*\"}}{render.quote}'"

    def _holder_source(self, source: Holder, render: Rendering) -> str:
        finish, part = _finisher(render), _PARTS[source.part]
        if self._layout.state in _WITHOUT_OWNER:
            return self._constant(finish(part(())))
        projection, inode = self._projection, self._header("inode")
        holders, complete = projection._lookups.holders, projection._lookups.complete

        def show(inode: int) -> Any:
            found = holders.get(inode, ())
            if found or complete or not inode:
                return finish(part(found))
            projection.unowned += 1
            return finish(None)

        if source.part != "holders":
            return f"{self._constant(show)}({inode})"
        # The most usual column, and the usual case first: a call less for every row.
        known, many = self._constant(holders), self._constant(render.many)
        return (
            f"({many}({known}[{inode}]) if {inode} in {known} else {self._constant(show)}({inode}))"
        )

    def _cgroup_source(self, render: Rendering) -> str:
        place = self._attributes.get(diag.ATTR_CGROUP_ID)
        if place is None or place.length < 8:
            return self._absent(render)
        finish, paths = _finisher(render), self._projection._lookups.cgroups
        memo = self._memo(("cgroup", id(render)), lambda number: finish(paths.get(number)))
        return f"{memo}[{self._load(place.offset, 'Q')}]"

    # -- conditions --------------------------------------------------------------------

    def _cookie_seen_source(self) -> str:
        """True for a socket that came before.  ``set.add`` returns None, which is false."""
        seen = self._constant(self._projection._seen)
        cookie = self._header("cookie")
        return f"{cookie} and ({cookie} in {seen} or {seen}.add({cookie}))"

    def _filter_source(self, expression: Filter) -> str:
        if isinstance(expression, Compare):
            return self._compare_source(expression)
        if isinstance(expression, Host):
            return self._host_source(expression)
        if isinstance(expression, States):
            return str(self._layout.state in expression.numbers)
        if isinstance(expression, Not):
            return f"(not {self._filter_source(expression.operand)})"
        joiner = " and " if isinstance(expression, And) else " or "
        return f"({joiner.join(map(self._filter_source, expression.operands))})"

    def _compare_source(self, expression: Compare) -> str:
        value = self._source(INPUTS[expression.column], RAW)
        test = self._constant(_test(expression))
        return f"{test}({value})"

    def _host_source(self, expression: Host) -> str:
        member = "src" if expression.side == "local" else "dst"
        conditions = []
        if expression.port is not None:
            port = self._header("sport" if expression.side == "local" else "dport")
            conditions.append(f"{port} == {expression.port}")
        if expression.address is not None:
            test = self._constant(_network_test(self._layout.family, expression))
            conditions.append(f"{test}({self._header(member)})")
        return f"({' and '.join(conditions) or 'True'})"


_PARTS: Final[dict[str, Callable[[Sequence[model.Holder]], Any]]] = {
    "process": lambda holders: holders[0].process.name if holders else None,
    "pid": lambda holders: holders[0].process.pid if holders else None,
    "fd": lambda holders: holders[0].fd if holders else None,
    "holders": tuple,
}


def _struct_of(loads: Sequence[tuple[int, str]], size: int) -> struct.Struct:
    """A Struct of exactly ``size`` bytes that reads ``loads`` and skips the rest.

    ``loads`` must be in order and must not overlap.
    """
    format_, at = ["="], 0
    for offset, code in loads:
        format_.append(f"{offset - at}x{code}")
        at = offset + struct.calcsize("=" + code)
    format_.append(f"{size - at}x")
    return struct.Struct("".join(format_))


def _finisher(render: Rendering) -> Callable[[Any], Any]:
    """The last step for a value that is a Python object: text, several texts, number, None."""

    def finish(value: Any) -> Any:
        if value is None:
            return render.absent
        if isinstance(value, str):
            return render.text(value)
        if isinstance(value, tuple):
            return render.many(value)
        return value

    return finish


def _test(expression: Compare) -> Callable[[Any], bool]:
    """A comparison that is false for an absent value."""
    column, op = INPUTS[expression.column], expression.op
    wanted: Any = expression.value
    if column.flags or column.kind == HOLDERS:  # several words, which RAW joins: any may match

        def match(one: str) -> bool:
            return bool(wanted in one if op == "~" else wanted == one)

        return lambda value: (
            value is not None and any(map(match, filter(None, value.split(",")))) != (op == "!=")
        )
    if wanted == UNLIMITED and column.kind in (NUMBER, ID):  # elsewhere it is a text like any other
        wanted = math.inf
    compare: dict[str, Callable[[Any], bool]] = {
        "=": lambda value: value == wanted,
        "!=": lambda value: value is not None and value != wanted,
        "<": lambda value: value is not None and value < wanted,
        "<=": lambda value: value is not None and value <= wanted,
        ">": lambda value: value is not None and value > wanted,
        ">=": lambda value: value is not None and value >= wanted,
        "~": lambda value: value is not None and wanted in value,
    }
    return compare[op]


def _network_test(family: int, expression: Host) -> Callable[[bytes], bool]:
    """Does a 16-byte address field lie in the expression's network?"""
    assert expression.address is not None
    network, bits = expression.address, expression.prefix_bits
    size = len(network)
    shift = size * 8 - bits
    wanted = int.from_bytes(network, "big") >> shift

    def test(packed: bytes) -> bool:
        if family == diag.AF_INET:
            address = packed[:4]
        else:
            address = packed[12:] if size == 4 and packed.startswith(V4_MAPPED) else packed
        return len(address) == size and int.from_bytes(address, "big") >> shift == wanted

    return test
