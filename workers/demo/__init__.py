"""The demo: an invented maker's shops, people and messages, loaded through the log like any others."""
