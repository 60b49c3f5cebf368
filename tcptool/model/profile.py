"""Profiles as `profiles` lists them and as `apply` and `verify` take them."""

from __future__ import annotations

from dataclasses import dataclass

from tcptool.catalog.profiles import Profile
from tcptool.model.change import Assignment


@dataclass(frozen=True, slots=True)
class LoadedProfile:
    """A profile that was found by its name or in a file; ``assignments`` are its values, read."""

    profile: Profile
    assignments: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileEntry:
    """One line of `profiles list`.

    ``path`` is the file of a user's own profile, None for one of tcptool's.  ``error`` says why
    the file cannot be used, None if it can; ``options`` is then empty.
    """

    name: str
    summary: str
    options: tuple[str, ...]
    path: str | None
    error: str | None
