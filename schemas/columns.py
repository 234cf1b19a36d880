"""Small helpers that keep the schemas readable."""

from __future__ import annotations

import pyarrow as pa


def vector(size: int) -> pa.DataType:
    """The type of an array column: `fixed_size_list<float32>[size]`, no extension type, so that any reader knows it."""
    return pa.list_(pa.field("item", pa.float32(), nullable=False), size)


def column(
    name: str, type: pa.DataType, description: str, *, unit: str = "", nullable: bool = False
) -> pa.Field:
    """One column, with what it means (and its unit, where it has one) as field metadata."""
    metadata = {"description": description}
    if unit:
        metadata["unit"] = unit
    return pa.field(name, type, nullable=nullable, metadata=metadata)
