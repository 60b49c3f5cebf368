"""Plain text for pipes: one record a line, nothing truncated, no colour."""
