"""Thinking: rates, marks and derived values from readings.  Pure; asks the kernel nothing."""
