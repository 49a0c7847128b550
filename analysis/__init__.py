"""The analysis layer: warehouse, measures, mining and reports over the log."""
