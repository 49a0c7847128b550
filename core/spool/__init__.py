"""The spool: what comes in while the database is away lies on this host's own disk until the log takes it."""
