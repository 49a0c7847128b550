"""Faults under load: what was acknowledged is in the log exactly once, whatever breaks."""
