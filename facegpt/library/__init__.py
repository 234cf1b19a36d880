"""What `facegpt.load()` gives: one photo in, its faces out, with their rows, meshes and pictures."""
