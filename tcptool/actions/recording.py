"""Recordings of samples in files: what `diagnose --record` keeps and `diagnose --from` judges."""

from __future__ import annotations

from tcptool import __version__
from tcptool.actions.diagnose import Taken
from tcptool.errors import TcptoolError
from tcptool.linux.results import read_text, write_whole
from tcptool.model.report import Host, Warning
from tcptool.sansio.recording import NotARecording, read_recordings, recording_lines


def save(path: str, host: Host, taken: Taken) -> None:
    """Write what was sampled.  Raises TcptoolError."""
    write_whole(path, "".join(recording_lines(__version__, host, taken.recordings)))


def load(path: str) -> tuple[Host, Taken]:
    """Read it again, with where and when it was made.  Raises TcptoolError."""
    doing = f"reading the recording {path!r}"
    try:
        host, recordings = read_recordings(read_text(path))
    except NotARecording as exc:
        raise TcptoolError(doing, str(exc), "`tcptool diagnose --record FILE` writes one.") from exc
    text = f"judged from a recording of {host.time} on {host.host}: nothing was read now"
    return host, Taken(recordings, complete=True, warnings=[Warning("recording", text)])
