"""What is sent: a file of the user's, a temporary one in the page cache, or memory.

The temporary file never has a name (open(2), O_TMPFILE), so that it is gone when its descriptor
is, however this process ends.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import stat
import tempfile
from collections.abc import Iterator
from typing import Final

from tcptool.errors import TcptoolError, UsageError, from_oserror

MOST_MADE_BYTES: Final = 256 << 20
"""Size of what is made up and sent again and again: several times what processors cache."""
_BLOCK_BYTES: Final = 1 << 20
_MAP_NORESERVE: Final = 0x4000  # include/uapi/asm-generic/mman-common.h
_MADV_POPULATE_READ: Final = 22  # include/uapi/asm-generic/mman-common.h, Linux 5.14


class SourceShrank(TcptoolError):
    """The file became shorter while it was sent."""

    code = "source_shrank"


class Source:
    """Bytes to send.  ``fd`` is None for memory; ``pages`` maps all of them, read only.

    The pages are there before anything is timed.  Reading mapped pages of a file that became
    shorter would kill this process (SIGBUS): only the kernel is to touch them, which then says
    EFAULT.
    """

    def __init__(self, name: str, fd: int | None, pages: mmap.mmap) -> None:
        self.name, self.fd, self.pages = name, fd, pages
        self.size_bytes = len(pages)

    def shrank(self) -> SourceShrank:
        """The error for a read past an end that was not there before."""
        return SourceShrank(
            f"sending {self.name}",
            f"it became shorter than {self.size_bytes} bytes while it was sent",
            "Send a copy of it, or leave --file out.",
        )

    def digest(self, size_bytes: int) -> str:
        """SHA-256 of the first ``size_bytes``.  Raises SourceShrank."""
        import hashlib  # loads OpenSSL: only where it is asked for

        if self.fd is None:
            return hashlib.sha256(memoryview(self.pages)[:size_bytes]).hexdigest()
        digest, position = hashlib.sha256(), 0
        while position < size_bytes:
            block = os.pread(self.fd, min(_BLOCK_BYTES, size_bytes - position), position)
            if not block:
                raise self.shrank()
            digest.update(block)
            position += len(block)
        return digest.hexdigest()

    def check_size(self) -> None:
        """Raise SourceShrank if the file is shorter now: mapped pages then end in zeros."""
        if self.fd is not None and os.fstat(self.fd).st_size < self.size_bytes:
            raise self.shrank()

    def close(self) -> None:
        """Unmap, and close the descriptor."""
        # An error that is on its way may still hold a view of the pages: they go with it then.
        with contextlib.suppress(BufferError):
            self.pages.close()
        if self.fd is not None:
            os.close(self.fd)


def open_source(file: str | None, *, memory: bool, size_bytes: int, seed: int) -> Source:
    """The first ``size_bytes`` of a file by name, or of made-up data.  Raises TcptoolError."""
    if file is not None:
        return _of_file(file, size_bytes)
    size_bytes = max(1, min(size_bytes, MOST_MADE_BYTES))
    if memory:
        pages = mmap.mmap(-1, size_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for block in _blocks(size_bytes, seed):
            pages.write(block)
        return Source("memory", None, pages)
    doing = f"making a temporary file of {size_bytes} bytes"
    hint = "TMPDIR names another folder, --memory needs none."
    try:
        doing += f" in {tempfile.gettempdir()}"
        with tempfile.TemporaryFile() as made:
            for block in _blocks(size_bytes, seed):
                made.write(block)
            made.flush()
            fd = os.dup(made.fileno())
    except OSError as exc:
        raise from_oserror(doing, exc, hint=hint) from exc
    return Source("a temporary file", fd, _mapped(fd, size_bytes))


def _of_file(file: str, size_bytes: int) -> Source:
    doing = f"opening {file!r}"
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        raise from_oserror(doing, exc, hint="--file names a file to be sent.") from exc
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            kind = "a directory" if stat.S_ISDIR(facts.st_mode) else "not a regular file"
            raise UsageError(doing, f"it is {kind}", "--file names a file to be sent.")
        if not facts.st_size:
            raise UsageError(doing, "it is empty", "There is nothing to send.")
        return Source(repr(file), fd, _mapped(fd, min(facts.st_size, size_bytes)))
    except BaseException:
        os.close(fd)
        raise


def _mapped(fd: int, size_bytes: int) -> mmap.mmap:
    # Private and writable only so that ctypes gives its address: nothing is ever written, so the
    # pages stay those of the page cache.
    try:
        pages = mmap.mmap(fd, size_bytes, mmap.MAP_PRIVATE | _MAP_NORESERVE)
    except OSError as exc:
        raise from_oserror(f"mapping {size_bytes} bytes", exc) from exc
    with contextlib.suppress(OSError):  # an older kernel: pages come at the first touch
        pages.madvise(_MADV_POPULATE_READ, 0, min(size_bytes, MOST_MADE_BYTES))
    return pages


def _blocks(size_bytes: int, seed: int) -> Iterator[memoryview]:
    """Data in which no MiB is like another: bytes that are lost or change places show."""
    noise = random.Random(seed).randbytes(_BLOCK_BYTES)
    twice = memoryview(noise + noise)
    for number, start in enumerate(range(0, size_bytes, _BLOCK_BYTES)):
        shift = number * 4099 % _BLOCK_BYTES  # prime: all shifts differ
        yield twice[shift : shift + min(_BLOCK_BYTES, size_bytes - start)]
