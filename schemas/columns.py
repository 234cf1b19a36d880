"""Builders of columns."""

from __future__ import annotations

import pyarrow as pa


def vector(size: int) -> pa.DataType:
    """Builds the type of an array column: `fixed_size_list<float32>[size]`, which any reader supports."""
    return pa.list_(pa.field("item", pa.float32(), nullable=False), size)


def column(
    name: str, type: pa.DataType, description: str, *, unit: str = "", nullable: bool = False
) -> pa.Field:
    """Builds a column with its description, and its unit where it has one, as field metadata."""
    metadata = {"description": description}
    if unit:
        metadata["unit"] = unit
    return pa.field(name, type, nullable=nullable, metadata=metadata)
