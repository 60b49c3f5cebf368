"""The grammar that requests and responses of HTTP/1.1 share, as regular expressions.

Every pattern can match in one way only, so it takes linear time.  Nothing is captured or may be
given back inside a possessive group: CPython 3.11 before 3.11.5 gets both wrong (gh-101955,
gh-106052).

Sources: RFC 9110, 5; RFC 9112, 7.
"""

from __future__ import annotations

import re
from typing import Final

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # RFC 9110 5.6.2
VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*+"  # RFC 9110 5.5, with the OWS around it
OWS: Final = rb"[ \t]*+"
FIELD_LINE: Final = TOKEN + rb":" + VALUE + rb"\r\n"
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'

CHUNK_LINE: Final = re.compile(  # 16 digits are 64 bits
    rb"([0-9A-Fa-f]{1,16})(?:%b;%b%b(?:%b=%b(?:%b|%b))?)*\r\n"
    % (OWS, OWS, TOKEN, OWS, OWS, TOKEN, _QUOTED)
)
TRAILER_LINE: Final = re.compile(rb"%b|\r\n" % FIELD_LINE)
