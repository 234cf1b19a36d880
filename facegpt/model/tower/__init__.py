"""The small vision tower: what the bundled checkpoint looks at a picture with."""
