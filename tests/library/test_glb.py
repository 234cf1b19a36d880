"""GLB files of heads: the bytes that trimesh exports, and what it reads back from them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import trimesh

from facegpt.library.glb import GlbWriter, to_glb, to_trimesh
from facegpt.morphable import bundled


def head(count: int, seed: int) -> tuple[Any, Any, Any]:
    """Random vertices (count, 3), triangles over all of them, and colours."""
    rng = np.random.default_rng(seed)
    triangles = np.concatenate([rng.permutation(count) for _ in range(3)])[: 3 * (count - 1)].reshape(-1, 3)
    vertices = rng.normal(0, 0.1, (count, 3)).astype(np.float32)
    return vertices, triangles.astype(np.int64), rng.integers(0, 256, (count, 3)).astype(np.uint8)


@pytest.mark.parametrize("count", [4, 5, 6, 7, 8, 9, 10, 501])
def test_the_bytes_are_those_of_trimesh(count: int) -> None:
    vertices, triangles, colours = head(count, seed=count)
    assert to_glb(vertices, triangles, colours) == to_trimesh(vertices, triangles, colours).export(
        file_type="glb"
    )


def test_a_writer_is_good_for_many_heads_of_the_bundled_face_model() -> None:
    model = bundled()
    triangles = model.triangles.numpy()
    writer = GlbWriter(triangles)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        vertices = model.mean.numpy() * np.float32(1 + 0.1 * seed)
        colours = rng.integers(0, 256, vertices.shape).astype(np.uint8)
        data = writer.encode(vertices, colours)
        assert data == to_trimesh(vertices, triangles, colours).export(file_type="glb")
        read = trimesh.load(io.BytesIO(data), file_type="glb", force="mesh", process=False)
        assert np.array_equal(read.vertices.astype(np.float32), vertices)
        assert np.array_equal(read.faces, triangles)
        assert np.array_equal(read.visual.vertex_colors[:, :3], colours)


def test_arrays_in_another_order_of_memory_give_the_same_file() -> None:
    vertices, triangles, colours = head(20, seed=0)
    turned = np.asfortranarray(vertices)
    assert to_glb(turned, np.asfortranarray(triangles), np.asfortranarray(colours)) == to_glb(
        vertices, triangles, colours
    )
