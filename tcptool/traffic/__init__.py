"""MOVING BYTES.  The only package that sends and receives: transports, runners, their far ends.

It measures and hands over raw readings; what they mean is worked out in ``analysis``.
"""
