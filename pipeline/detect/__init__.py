"""The first stage: from files to crops of faces."""
