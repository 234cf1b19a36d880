"""Heads with vertex colours as trimesh's meshes and as GLB files. Torch is not imported, trimesh for its meshes alone:
the driver of a run and its workers do not wait for them.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import trimesh

UNSIGNED, BYTES, FLOATS = 5125, 5121, 5126
"""Component types of glTF 2.0 (section 3.6.2.2): uint32, uint8, float32."""


def to_trimesh(
    vertices: NDArray[np.float32], triangles: NDArray[np.int64], colours: NDArray[np.uint8]
) -> trimesh.Trimesh:
    """Makes one head: `vertices` (V, 3) in metres, y up, facing +z; `colours` (V, 3) linear RGB, opaque."""
    import trimesh

    opaque = np.full((len(colours), 1), 255, np.uint8)
    return trimesh.Trimesh(vertices, triangles, vertex_colors=np.hstack([colours, opaque]), process=False)


class GlbWriter:
    """A writer of heads with the same `triangles` (F, 3) as binary glTF 2.0, byte for byte as `to_trimesh` exports
    them, but with what all of them have in common made once.
    """

    def __init__(self, triangles: NDArray[np.int64]) -> None:
        self.indices = triangles.astype("<u4").tobytes()
        self.corners, self.last, self.first = triangles.size, int(triangles.max()), int(triangles.min())

    def encode(self, vertices: NDArray[np.float32], colours: NDArray[np.uint8]) -> bytes:
        """Encodes one head of `vertices` (V, 3) and `colours` (V, 3), as `to_trimesh` takes them."""
        opaque = np.full((len(colours), 4), 255, np.uint8)
        opaque[:, :3] = colours
        positions = np.ascontiguousarray(vertices, "<f4")
        header = json.dumps(self._header(positions, opaque), separators=(",", ":")).encode()
        header += b" " * (4 - len(header) % 4)  # as trimesh does: four spaces where none is needed
        body = len(self.indices) + positions.nbytes + opaque.nbytes
        total = 12 + 8 + len(header) + 8 + body
        return b"".join(
            (
                struct.pack("<4sIIII", b"glTF", 2, total, len(header), 0x4E4F534A),
                header,
                struct.pack("<II", body, 0x004E4942),
                self.indices,
                positions.tobytes(),
                opaque.tobytes(),
            )
        )

    def _header(self, positions: NDArray[np.float32], colours: NDArray[np.uint8]) -> dict[str, Any]:
        count, start = len(positions), len(self.indices)
        # Reductions over rows of three take many times as long.
        axes, channels = np.ascontiguousarray(positions.T), np.ascontiguousarray(colours.T)
        indices = {"componentType": UNSIGNED, "type": "SCALAR", "bufferView": 0, "count": self.corners}
        places = {"componentType": FLOATS, "type": "VEC3", "byteOffset": 0, "bufferView": 1, "count": count}
        tints = {"componentType": BYTES, "normalized": True, "type": "VEC4", "byteOffset": 0, "bufferView": 2}
        views = (
            (0, len(self.indices)),
            (start, positions.nbytes),
            (start + positions.nbytes, colours.nbytes),
        )
        return {
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            # The layout is that of trimesh's files; tables of digests know these bytes.
            "asset": {"version": "2.0", "generator": "https://github.com/mikedh/trimesh"},
            "accessors": [
                {**indices, "max": [self.last], "min": [self.first]},
                {**places, "max": axes.max(1).tolist(), "min": axes.min(1).tolist()},
                {**tints, "count": count, "max": channels.max(1).tolist(), "min": channels.min(1).tolist()},
            ],
            "meshes": [
                {
                    "name": "geometry_0",
                    "extras": {},
                    "primitives": [
                        {"attributes": {"POSITION": 1, "COLOR_0": 2}, "indices": 0, "mode": 4},
                    ],
                }
            ],
            "nodes": [{"name": "geometry_0", "mesh": 0}],
            "buffers": [{"byteLength": start + positions.nbytes + colours.nbytes}],
            "bufferViews": [
                {"buffer": 0, "byteOffset": offset, "byteLength": length} for offset, length in views
            ],
        }


def to_glb(vertices: NDArray[np.float32], triangles: NDArray[np.int64], colours: NDArray[np.uint8]) -> bytes:
    """Encodes the head of `to_trimesh` as binary glTF 2.0."""
    return GlbWriter(triangles).encode(vertices, colours)
