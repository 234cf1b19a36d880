"""Albedo modes learned from photos without labels."""
