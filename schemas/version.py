"""The version that every file carries."""

SCHEMA_VERSION = "1"
"""Raised when a column is renamed, removed or changes its meaning or unit; a new column alone does not raise it."""
