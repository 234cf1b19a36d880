"""Version of the schemas, which every table and commit carries."""

SCHEMA_VERSION = "1"
"""Counts up when a column is renamed, removed or changes its meaning or unit, but not for a new column."""
