"""Values of socket options: from the bytes of getsockopt() and to those of setsockopt().

``decode_option`` is total: whatever the bytes, it gives a value that JSON can hold and
never raises.  An answer that does not have the length its codec asks for is shown as it
came, ``"hex:…"``, because a guess would look like a fact.

It must not ask the kernel for anything and must not judge the value.

Sources: catalog/options.py; include/linux/socket.h (linger), include/uapi/linux/time_types.h
(timeval), include/uapi/linux/net_tstamp.h (sock_txtime), include/uapi/linux/sock_diag.h
(SK_MEMINFO_*), Linux 6.18.  Numbers are in the byte order of this machine.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

from tcptool.catalog.options import CLOCKS, TXTIME_FLAGS, Codec, OptionValue, SocketOption
from tcptool.catalog.states import word, words

__all__ = ["MEMINFO_KEYS", "OptionValue", "decode_option", "encode_option"]

MEMINFO_KEYS: Final = (
    "rmem_bytes",
    "rcvbuf_bytes",
    "wmem_bytes",
    "sndbuf_bytes",
    "fwd_alloc_bytes",
    "wmem_queued_bytes",
    "optmem_bytes",
    "backlog_bytes",
    "drops",
)
"""What SO_MEMINFO's numbers count, in the kernel's order."""

_INT = struct.Struct("=i")
_UINT = struct.Struct("=I")
_UINT64 = struct.Struct("=Q")
_TWO_INTS = struct.Struct("=ii")
_INT_AND_FLAGS = struct.Struct("=iI")
_TIMEVAL = struct.Struct("=qq")
_MEMINFO = struct.Struct("=9I")


def decode_option(option: SocketOption, raw: bytes) -> OptionValue:
    """The value in ``raw``, in the option's unit, with sentinels and enumerations as words.

    A boolean is a bool, a number an int, a set of flags a tuple of words, a struct a dict.
    Numbers that ``option.words`` names become that word (``"unlimited"``); SO_COOKIE and
    SO_NETNS_COOKIE become ``"0x…"``; a byte string of the wrong length becomes ``"hex:…"``.
    """
    try:
        return _DECODERS[option.codec](option, raw)
    except struct.error:  # shorter or longer than the codec
        return _hex(option, raw)


def _hex(_option: SocketOption, raw: bytes) -> OptionValue:
    return f"hex:{raw.hex()}"


def _named(option: SocketOption, number: int) -> OptionValue:
    """A number, or its word if it is a sentinel."""
    known = option.words.get(number)
    return known.word if known else number


def _boolean(_option: SocketOption, raw: bytes) -> OptionValue:
    return bool(_INT.unpack(raw)[0])


def _int(option: SocketOption, raw: bytes) -> OptionValue:
    return _named(option, _INT.unpack(raw)[0])


def _uint(option: SocketOption, raw: bytes) -> OptionValue:
    return _named(option, _UINT.unpack(raw)[0])


def _uint64(option: SocketOption, raw: bytes) -> OptionValue:
    return _named(option, _UINT64.unpack(raw)[0])


def _id(_option: SocketOption, raw: bytes) -> OptionValue:
    return f"{_UINT64.unpack(raw)[0]:#x}"


def _enum(option: SocketOption, raw: bytes) -> OptionValue:
    return word(option.words, _INT.unpack(raw)[0])


def _flags(option: SocketOption, raw: bytes) -> OptionValue:
    return words(option.words, _UINT.unpack(raw)[0])


def _string(_option: SocketOption, raw: bytes) -> OptionValue:
    """Up to the first NUL: what stands behind it is padding."""
    return raw.partition(b"\0")[0].decode(errors="backslashreplace")


def _linger(_option: SocketOption, raw: bytes) -> OptionValue:
    enabled, seconds = _TWO_INTS.unpack(raw)
    return {"enabled": bool(enabled), "seconds": seconds}


def _timeval(option: SocketOption, raw: bytes) -> OptionValue:
    seconds, microseconds = _TIMEVAL.unpack(raw)
    return _named(option, seconds * 1_000_000 + microseconds)


def _port_range(_option: SocketOption, raw: bytes) -> OptionValue:
    both: int = _UINT.unpack(raw)[0]
    return {"lowest": both & 0xFFFF, "highest": both >> 16}


def _meminfo(_option: SocketOption, raw: bytes) -> OptionValue:
    return dict(zip(MEMINFO_KEYS, _MEMINFO.unpack(raw), strict=True))


def _txtime(_option: SocketOption, raw: bytes) -> OptionValue:
    clock, flags = _INT_AND_FLAGS.unpack(raw)
    return {"clock": word(CLOCKS, clock), "flags": words(TXTIME_FLAGS, flags)}


_DECODERS: Final[dict[Codec, Callable[[SocketOption, bytes], OptionValue]]] = {
    Codec.BOOLEAN: _boolean,
    Codec.INT: _int,
    Codec.UINT: _uint,
    Codec.UINT64: _uint64,
    Codec.ID: _id,
    Codec.ENUM: _enum,
    Codec.FLAGS: _flags,
    Codec.STRING: _string,
    Codec.TOS: _int,
    Codec.LINGER: _linger,
    Codec.TIMEVAL: _timeval,
    Codec.PORT_RANGE: _port_range,
    Codec.MEMINFO: _meminfo,
    Codec.TXTIME: _txtime,
    Codec.STRUCT: _hex,
}


def encode_option(option: SocketOption, value: OptionValue) -> bytes:
    """The bytes for setsockopt(): what ``decode_option`` gives the value for.

    Raises ValueError for a value that the option's codec cannot carry.
    """
    try:
        return _ENCODERS[option.codec](option, value)
    except (KeyError, TypeError, ValueError, struct.error) as exc:
        raise ValueError(f"{value!r} is no value of {option.name}") from exc


_UNKNOWN: Final = "unknown-"


def _number_of(option: SocketOption, value: OptionValue) -> int:
    """The number that a value or its word stands for."""
    if isinstance(value, int):
        return value
    text = str(value)
    if text.startswith(_UNKNOWN):
        return int(text.removeprefix(_UNKNOWN))
    return {meaning.word: number for number, meaning in option.words.items()}[text]


def _packer(layout: struct.Struct) -> Callable[[SocketOption, OptionValue], bytes]:
    def pack(option: SocketOption, value: OptionValue) -> bytes:
        return layout.pack(_number_of(option, value))

    return pack


def _pack_flags(option: SocketOption, value: OptionValue) -> bytes:
    bits = 0
    for flag in _as_tuple(value):
        bits |= _number_of(option, flag)
    return _UINT.pack(bits)


def _as_tuple(value: OptionValue) -> tuple[str, ...]:
    if not isinstance(value, tuple):
        raise TypeError
    return value


def _as_mapping(value: OptionValue) -> Mapping[str, bool | int | str | tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise TypeError
    return value


def _pack_string(_option: SocketOption, value: OptionValue) -> bytes:
    return str(value).encode() + b"\0"


def _pack_linger(_option: SocketOption, value: OptionValue) -> bytes:
    parts = _as_mapping(value)
    return _TWO_INTS.pack(parts["enabled"], parts["seconds"])


def _pack_timeval(option: SocketOption, value: OptionValue) -> bytes:
    return _TIMEVAL.pack(*divmod(_number_of(option, value), 1_000_000))


def _pack_port_range(_option: SocketOption, value: OptionValue) -> bytes:
    parts = _as_mapping(value)
    lowest, highest = parts["lowest"], parts["highest"]
    if not isinstance(lowest, int) or not isinstance(highest, int):
        raise TypeError
    if not 0 <= lowest <= 0xFFFF:  # more would run into the highest
        raise ValueError
    return _UINT.pack(lowest | highest << 16)


_ENCODERS: Final[dict[Codec, Callable[[SocketOption, OptionValue], bytes]]] = {
    Codec.BOOLEAN: _packer(_INT),
    Codec.INT: _packer(_INT),
    Codec.UINT: _packer(_UINT),
    Codec.UINT64: _packer(_UINT64),
    Codec.ENUM: _packer(_INT),
    Codec.FLAGS: _pack_flags,
    Codec.STRING: _pack_string,
    Codec.TOS: _packer(_INT),
    Codec.LINGER: _pack_linger,
    Codec.TIMEVAL: _pack_timeval,
    Codec.PORT_RANGE: _pack_port_range,
}
"""What tcptool sets; the other codecs are structures that it only shows."""
