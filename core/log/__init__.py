"""The interaction log: every contact on every channel, once, in order, for ever."""
