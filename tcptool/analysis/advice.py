"""What a person should know beside the rows of a change: what it reaches, and what it does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from tcptool.analysis.outcome import FAILED
from tcptool.catalog.options import (
    BUFFERS,
    BY_NAME,
    READ_AS,
    RECEIVE_BUFFERS,
    Risk,
    SocketOption,
    When,
)
from tcptool.model.change import Change
from tcptool.model.report import Warning
from tcptool.model.sock import Socket

_CONNECTED: Final = frozenset({"established", "close-wait", "fin-wait-1", "fin-wait-2", "closing"})


def advice(sock: Socket, changes: Sequence[Change], clamp_bytes: int | None) -> tuple[str, ...]:
    """Sentences about one socket's changes.  ``clamp_bytes``: its TCP_WINDOW_CLAMP before."""
    changes = [change for change in changes if change.outcome not in FAILED]
    lines = [*_listener(changes)] if sock.state == "listen" else []
    if sock.protocol == "mptcp" and any(change.option in BUFFERS for change in changes):
        lines.append(
            "An MPTCP socket has no SO_BUF_LOCK: a buffer that is set by hand stays so, and undo "
            "cannot let the kernel tune it again."
        )
    elif sock.state in _CONNECTED:
        lines += _connection(changes, clamp_bytes)
    return tuple(lines)


def risks(options: Iterable[SocketOption]) -> tuple[Warning, ...]:
    """What setting these options on a connection in use can do to it."""
    found = [o for o in options if o.risk is Risk.WARN and o.pitfall]
    lasting = [o for o in options if not o.readable and o.name not in READ_AS]
    return (
        *(Warning("risk", f"{option.name}: {option.pitfall}") for option in found),
        *(
            Warning("no_undo", f"{option.name}: it cannot be read, so it cannot be put back")
            for option in lasting
        ),
    )


def _listener(changes: Sequence[Change]) -> Iterator[str]:
    options = [BY_NAME[c.option] for c in changes if c.option in BY_NAME]
    passed_on = [o.name for o in options if o.inherited]
    kept = [o.name for o in options if not o.inherited and o.when is not When.LISTENER]
    if passed_on:
        yield (
            f"Connections whose handshake begins from now on inherit {', '.join(passed_on)}; those "
            "that are open, or wait in the accept queue, keep what they have."
        )
    if kept:
        yield f"accept() does not pass on {', '.join(kept)}."


def _connection(changes: Sequence[Change], clamp_bytes: int | None) -> Iterator[str]:
    names = {change.option for change in changes}
    for change in changes:
        size = change.effective if change.effective is not None else change.requested
        clamped = clamp_bytes is not None and isinstance(size, int) and 0 < clamp_bytes < size // 2
        if change.option in RECEIVE_BUFFERS and clamped and "TCP_WINDOW_CLAMP" not in names:
            yield (
                f"The window will not grow beyond TCP_WINDOW_CLAMP, {clamp_bytes} bytes: "
                "--also-clamp raises it too, as far as the window scale of the handshake allows."
            )
    pinned = sorted(names & BUFFERS)
    if pinned and "SO_BUF_LOCK" not in names:
        yield (
            f"{' and '.join(pinned)} set by hand: the kernel does not tune the buffer any more. "
            "SO_BUF_LOCK=none lets it tune again, and is mostly the better change."
        )
