"""Places to read and write: local folders and S3, locks, the journal, tables as Parquet bytes."""
