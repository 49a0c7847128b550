"""Backup and restore: one archive that holds the database, the files, the kept secrets and the ledger of erasures."""
