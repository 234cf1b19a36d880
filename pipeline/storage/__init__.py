"""Places to read and write: local folders and S3, tables, locks, the journal."""
