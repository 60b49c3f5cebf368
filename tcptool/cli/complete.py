"""What the completion scripts ask while a person waits: `tcptool __complete WHAT PREFIX`.

Each line of the answer is a candidate, a tab and a description.  Nothing here may load typer,
rich or psutil, and nothing may fail aloud.
"""

from __future__ import annotations

from tcptool.actions.complete import netns_candidates, profile_candidates, socket_candidates
from tcptool.linux.kernel import Kernel, LiveKernel


def complete(arguments: list[str], kernel: Kernel | None = None) -> int:
    """Print the candidates.  An error means that there are none: a Tab must not disturb."""
    what, prefix = [*arguments, "", ""][:2]
    try:
        find = {
            "sockets": socket_candidates,
            "netns": netns_candidates,
            "profiles": profile_candidates,
        }[what]
        candidates = find(kernel or LiveKernel(), prefix)
        print("".join(f"{name}\t{about}\n" for name, about in candidates), end="", flush=True)
    except (Exception, KeyboardInterrupt):  # noqa: BLE001 - see above
        return 0
    return 0
