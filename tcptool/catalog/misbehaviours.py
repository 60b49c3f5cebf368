"""Ways in which `serve --misbehave` is a bad server on purpose: what clients and tools see."""

from __future__ import annotations

from typing import Final

SLOW_READ: Final = "slow-read"
NO_READ: Final = "no-read"
SLOW_ACCEPT: Final = "slow-accept"
RST: Final = "rst"
CORKED: Final = "corked"
HALF_CLOSE: Final = "half-close"

MISBEHAVIOURS: Final = {
    SLOW_READ: "reads 4 KiB a second and answers nothing: its receive window closes on the client",
    NO_READ: "never reads: the client's window is at zero once the receive buffer is full",
    SLOW_ACCEPT: "accepts one connection a second: with a small --backlog its accept queue fills, "
    "and SYNs are dropped",
    RST: "resets the connection in the middle of each answer",
    CORKED: "sets TCP_CORK and never clears it: the end of each answer comes 200 ms late",
    HALF_CLOSE: "sends FIN after the first answer and reads on: a client that does not look stays "
    "in CLOSE_WAIT",
}
