"""Media types of files by the end of their names.

The host's own table (/etc/mime.types, Python's mimetypes) is not read: the same file has the same
type everywhere.  A compressed file is what it is, and not a coding of what is in it: who asks for
an archive wants the archive.

Sources: https://www.iana.org/assignments/media-types; RFC 9239 for JavaScript.
"""

from __future__ import annotations

from typing import Final

OTHER: Final = "application/octet-stream"
"""RFC 9110, 8.3: what a client may well treat an unknown type as."""

_UTF_8: Final = "; charset=utf-8"
"""For text: without it, browsers guess, and what is written nowadays is in UTF-8."""

MEDIA_TYPES: Final = {
    "avif": "image/avif",
    "bmp": "image/bmp",
    "bz2": "application/x-bzip2",
    "css": f"text/css{_UTF_8}",
    "csv": f"text/csv{_UTF_8}",
    "gif": "image/gif",
    "gz": "application/gzip",
    "htm": f"text/html{_UTF_8}",
    "html": f"text/html{_UTF_8}",
    "ico": "image/vnd.microsoft.icon",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": f"text/javascript{_UTF_8}",
    "json": "application/json",
    "log": f"text/plain{_UTF_8}",
    "map": "application/json",  # of a script or a style sheet: ECMA-426
    "md": f"text/markdown{_UTF_8}",
    "mjs": f"text/javascript{_UTF_8}",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "ogg": "audio/ogg",
    "otf": "font/otf",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "tar": "application/x-tar",
    "tgz": "application/gzip",
    "ttf": "font/ttf",
    "txt": f"text/plain{_UTF_8}",
    "wasm": "application/wasm",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xml": "application/xml",
    "xz": "application/x-xz",
    "zip": "application/zip",
    "zst": "application/zstd",
}


def media_type(name: bytes) -> str:
    """Of a file of that name, in whatever encoding the name is."""
    stem, _, end = name.rpartition(b".")
    return MEDIA_TYPES.get(end.decode("latin-1").lower(), OTHER) if stem else OTHER
