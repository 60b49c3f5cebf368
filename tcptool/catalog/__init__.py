"""Facts: tables of what the kernel offers, each entry with its source.

Man pages, help, the JSON schema and `explain` are read from here.  No logic, no system access.
"""
