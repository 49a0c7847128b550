"""Everything that runs: the web server, jobs, listeners, the schedule and the command line."""
