"""Generators of what is committed but not written by hand: `python -m tools.generate`.

They read the command tree and the catalogs, and nothing about the machine that they run on.
"""

import os

# typer reads this once, when it is imported: help texts without rich's boxes.
os.environ["TYPER_USE_RICH"] = "0"
