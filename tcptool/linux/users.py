"""Names of users."""

from __future__ import annotations

import pwd


def user_name(uid: int) -> str | None:
    """The login name, or None for a number without one."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
