"""Watching: what the hub measures of itself, when that is an alarm, and whom it tells. See docs/watching.md."""
