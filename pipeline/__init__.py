"""From photos to tables: list, cut into shards, detect and crop, annotate, commit."""
