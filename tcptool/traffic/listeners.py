"""The listeners of a server: one for each worker, all on one address.

They are made before the workers are forked and stay open in the parent, so that a worker that
takes the place of another finds those who wait in its accept queue.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from tcptool.errors import NotFound, NotPermitted, TcptoolError, describe_errno, from_oserror
from tcptool.linux.kernel import Kernel
from tcptool.model.serve import ServePlan
from tcptool.traffic import ends

if TYPE_CHECKING:
    from tcptool.model.change import Assignment


class AddressInUse(TcptoolError):
    """Another program listens there."""

    code = "address_in_use"


_HINTS: Final = {
    errno.EADDRNOTAVAIL: "It is no address of this host, or network namespace: see `ip address`.",
    errno.EACCES: "Ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE; "
    "--port 0 takes any that is free.",
}


def open_listeners(
    kernel: Kernel, plan: ServePlan, assignments: Sequence[Assignment]
) -> list[socket.socket]:
    """One for each worker; the caller closes them.  Accepted sockets inherit the options.

    Raises AddressInUse and other TcptoolErrors.
    """
    if plan.unix:
        return _of_unix(kernel, plan, assignments)
    family, name = _look_up(plan)
    first = _listener(kernel, plan, assignments, family, name, share=False)
    if plan.workers == 1:
        return [first]
    # Nobody else has it: only now may it be shared, which has to be said before bind().
    name = first.getsockname()
    first.close()
    with contextlib.ExitStack() as opened:
        made = [
            opened.enter_context(_listener(kernel, plan, assignments, family, name, share=True))
            for _ in range(plan.workers)
        ]
        opened.pop_all()
    return made


def _look_up(plan: ServePlan) -> tuple[int, Any]:
    doing = f"looking up {plan.address!r}"
    try:
        found = socket.getaddrinfo(
            plan.address, plan.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as exc:
        raise NotFound(doing, str(exc), "--bind takes an address of this host.") from exc
    family, _, _, _, name = found[0]
    return family, name


def _listener(
    kernel: Kernel,
    plan: ServePlan,
    assignments: Sequence[Assignment],
    family: int,
    name: Any,
    *,
    share: bool,
) -> socket.socket:
    doing = f"listening on {ends.Address(family, name)}"
    try:
        own = kernel.own_socket(family)
    except OSError as exc:
        raise from_oserror(doing, exc) from exc
    try:
        # Accepted sockets inherit it.  An answer is handed over whole, or in large pieces: Nagle's
        # algorithm could only hold its end back (half the rate with files of 1 MiB on loopback).
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ends.set_options(own, assignments)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        own.bind(name)
        own.listen(plan.backlog)
    except OSError as exc:
        own.close()
        raise _refused(doing, exc) from exc
    except BaseException:
        own.close()
        raise
    own.setblocking(False)
    return own


def _refused(doing: str, exc: OSError) -> TcptoolError:
    if exc.errno == errno.EADDRINUSE:
        return AddressInUse(doing, describe_errno(exc.errno), "--port 0 takes any that is free.")
    hint = _HINTS.get(exc.errno or 0, "")
    if exc.errno == errno.EACCES:
        return NotPermitted(doing, describe_errno(exc.errno), hint)
    return from_oserror(doing, exc, hint=hint)


# -- Unix sockets --------------------------------------------------------------------------


def _of_unix(
    kernel: Kernel, plan: ServePlan, assignments: Sequence[Assignment]
) -> list[socket.socket]:
    """One socket, which all workers have: Unix sockets have no SO_REUSEPORT groups."""
    path = plan.address
    doing = f"listening on the Unix socket {path!r}"
    _remove_a_dead_one(doing, path)
    own = kernel.own_socket(socket.AF_UNIX)
    try:
        ends.set_options(own, assignments)
        own.bind(path)
        own.listen(plan.backlog)
    except OSError as exc:
        own.close()
        if exc.errno is None:  # Python's own: the name is too long
            raise TcptoolError(doing, str(exc), "A name has 107 bytes at most.") from exc
        raise _refused(doing, exc) from exc
    except BaseException:
        own.close()
        raise
    own.setblocking(False)
    return [own, *(own.dup() for _ in range(plan.workers - 1))]


def _remove_a_dead_one(doing: str, path: str) -> None:
    """The socket of a server that was killed is in the way; anything else is left alone."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise AddressInUse(doing, "a file of that name exists", "Choose another name.")
    except FileNotFoundError:
        return
    except OSError as exc:
        raise from_oserror(doing, exc) from exc
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError as exc:
            raise from_oserror(doing, exc) from exc
        else:
            raise AddressInUse(doing, "another program listens there", "Choose another name.")
