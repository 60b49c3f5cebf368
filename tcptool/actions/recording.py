"""Recordings of samples in files: what `diagnose --record` keeps and `diagnose --from` judges."""

from __future__ import annotations

from typing import Final

from tcptool import __version__
from tcptool.actions.diagnose import Taken
from tcptool.decode.netlink import MalformedReply
from tcptool.decode.recording import observe
from tcptool.errors import TcptoolError
from tcptool.linux.results import read_text, write_whole
from tcptool.model.report import Host, Warning
from tcptool.sansio.recording import NotARecording, read_recordings, recording_lines

_HINT: Final = "`tcptool diagnose --record FILE` writes one."
_PRIVATE: Final = 0o600
"""It names the peers of other users' connections."""


def save(path: str, host: Host, taken: Taken) -> None:
    """Write what was sampled, for its owner's eyes.  Raises TcptoolError."""
    lines = recording_lines(__version__, host, taken.recordings, complete=taken.complete)
    write_whole(path, "".join(lines), mode=_PRIVATE)


def load(path: str) -> tuple[Host, Taken]:
    """Read it again, with where and when it was made.  Raises TcptoolError."""
    doing = f"reading the recording {path!r}"
    try:
        host, complete, recordings = read_recordings(read_text(path, hint=_HINT))
        for one in recordings:
            observe(one, live=False)
    except (NotARecording, MalformedReply) as exc:
        raise TcptoolError(doing, getattr(exc, "why", str(exc)), _HINT) from exc
    text = f"judged from a recording of {host.time} on {host.host}: nothing was read now"
    warnings = [Warning("recording", text)]
    return host, Taken(recordings, complete=complete, live=False, warnings=warnings)
