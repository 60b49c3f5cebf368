"""`profiles`: tcptool's own profiles and those of the user, by name or by path.

`apply` and `verify` take theirs from ``load_profile``.  No socket is asked or changed here.
"""

from __future__ import annotations

from pathlib import Path

from tcptool.catalog.profiles import BUILT_IN, BY_NAME, Profile
from tcptool.errors import NotFound, TcptoolError
from tcptool.linux.profiles import SUFFIX, profile_files, profile_folder, read_profile
from tcptool.model.profile import LoadedProfile, ProfileEntry
from tcptool.model.report import Missing
from tcptool.sansio.assignment import parse_assignment
from tcptool.sansio.suggest import did_you_mean


def load_profile(word: str) -> LoadedProfile:
    """The profile of this name, or in this file: a word with a slash or ending in .toml is a path.

    Raises NotFound with what may have been meant, and UsageError for a file that is no profile.
    """
    profile = _from_file(Path(word)) if "/" in word or word.endswith(SUFFIX) else _named(word)
    assignments = tuple(parse_assignment(f"{one.option}={one.value}") for one in profile.values)
    return LoadedProfile(profile, assignments)


def list_profiles() -> tuple[list[ProfileEntry], list[Missing]]:
    """tcptool's own profiles, then the user's by name; a bad file is listed as bad."""
    entries = [_entry(profile, None) for profile in BUILT_IN]
    try:
        files = profile_files()
    except TcptoolError as exc:
        return entries, [Missing("your own profiles", str(exc), "a folder that can be read")]
    return entries + [_entry_of(path) for path in files], []


def _named(name: str) -> Profile:
    if name in BY_NAME:
        return BY_NAME[name]
    own = {path.stem: path for path in profile_files()}
    if name in own:
        return _from_file(own[name], name)
    known = [*BY_NAME, *own]
    raise NotFound(
        f"looking for profile {name!r}",
        "there is none" + did_you_mean(name, known),
        f"There are {', '.join(known)}; your own are NAME.toml in {profile_folder()}.",
    )


def _from_file(path: Path, name: str | None = None) -> Profile:
    from tcptool.sansio.profile_file import MAX_BYTES, parse_profile  # loads tomllib

    return parse_profile(read_profile(path, MAX_BYTES), str(path), name=name)


def _entry_of(path: Path) -> ProfileEntry:
    try:
        return _entry(_from_file(path, path.stem), str(path))
    except TcptoolError as exc:
        return ProfileEntry(name=path.stem, summary="", options=(), path=str(path), error=exc.why)


def _entry(profile: Profile, path: str | None) -> ProfileEntry:
    return ProfileEntry(
        name=profile.name,
        summary=profile.summary,
        options=tuple(value.option for value in profile.values),
        path=path,
        error=None,
    )
