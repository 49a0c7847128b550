"""The contact layer: one folder a kind of channel, one file a provider, listed in channels.catalog."""
