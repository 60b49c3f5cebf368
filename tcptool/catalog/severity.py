"""How bad what a check found is.

Source of the words and of what they mean: the exit statuses of NPAD (Pass, Warning, Fail) and the
rule that a setting without evidence of harm is never more than information.
"""

from __future__ import annotations

import enum
from typing import Final


class Severity(enum.StrEnum):
    """From harmless to harmful; ``skip`` is a check that could not be made."""

    SKIP = "skip"
    OK = "ok"
    INFO = "info"
    """A setting differs from the usual without evidence of harm, or harm is past."""
    WARN = "warn"
    """Harm that is not grave yet, or a limit that is nearly used up."""
    FAIL = "fail"
    """Harm that happens now."""

    def reaches(self, threshold: Severity) -> bool:
        """Whether it is as bad as ``threshold``, or worse."""
        return _ORDER.index(self) >= _ORDER.index(threshold)


_ORDER: Final = tuple(Severity)
