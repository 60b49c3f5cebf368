"""Side-by-side comparisons with peers.  They print ratios and assert no time."""
