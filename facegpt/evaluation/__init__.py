"""Error measures: geometry, captions, text to 3D."""
