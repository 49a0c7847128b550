"""Replay: a consumer's tables built anew beside the live ones, compared row by row, and put in their place."""
