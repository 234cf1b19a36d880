"""What an OUTPUT holds: run.json, commits, and the tables and meshes of committed shards."""
