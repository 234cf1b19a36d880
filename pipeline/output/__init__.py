"""What an OUTPUT holds: commits, tables, meshes, run.json."""
