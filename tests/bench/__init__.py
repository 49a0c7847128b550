"""Benchmarks: the hub's promised speeds, measured from outside against the limits of the same machine."""
