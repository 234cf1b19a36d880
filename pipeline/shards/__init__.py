"""The manifest: which images an output knows, cut into shards."""
