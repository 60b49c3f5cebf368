"""Bytes to nouns: pure decoders of kernel replies, which run as well on recorded ones.

They make no system call, and report what the kernel did not send as None, never as zero.
"""
