"""The manifest of an output: its images, cut into shards; what a shard is on its way; tombstones."""
