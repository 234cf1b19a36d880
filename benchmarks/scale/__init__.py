"""Dry runs of many images: the cost of listing, fetching, tables and commits, and whether memory stays flat."""
