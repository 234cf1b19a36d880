"""Builders of columns."""

from __future__ import annotations

import pyarrow as pa


def vector(size: int) -> pa.DataType:
    """Builds the type of an array column: `fixed_size_list<float32>[size]`, which any reader supports."""
    # Not "without nulls": pickling, between processes, drops that from a list's type, and files would differ.
    return pa.list_(pa.float32(), size)


def column(
    name: str, type: pa.DataType, description: str, *, unit: str = "", nullable: bool = False
) -> pa.Field:
    """Builds a column with its description, and its unit where it has one, as field metadata."""
    metadata = {"description": description}
    if unit:
        metadata["unit"] = unit
    return pa.field(name, type, nullable=nullable, metadata=metadata)
