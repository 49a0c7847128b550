"""What administrators change, from the pages and from the command line: each change is an act of the log."""
