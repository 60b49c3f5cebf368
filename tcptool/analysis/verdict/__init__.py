"""Why a connection is slow: one function per verdict, tried in order, the first that fits wins."""
