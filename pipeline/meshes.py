"""GLB files with vertex colours, and the tar that packs those of a shard."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import trimesh
from numpy.typing import NDArray

from pipeline.records import MeshData


def to_glb(vertices: NDArray[np.float32], triangles: NDArray[np.int64], colours: NDArray[np.uint8]) -> bytes:
    """One head as binary glTF 2.0: `vertices` (V, 3) in metres, y up, facing +z; `colours` (V, 3) linear RGB."""
    opaque = np.full((len(colours), 1), 255, np.uint8)
    mesh = trimesh.Trimesh(vertices, triangles, vertex_colors=np.hstack([colours, opaque]), process=False)
    data = mesh.export(file_type="glb")
    assert isinstance(data, bytes)
    return data


def pack(meshes: MeshData) -> bytes:
    """The tar of a shard: FACE_ID.glb per face, sorted, without times or owners: equal faces give equal bytes."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for index in sorted(range(len(meshes.names)), key=lambda index: meshes.names[index]):
            data = to_glb(meshes.vertices[index], meshes.triangles, meshes.colours[index])
            member = tarfile.TarInfo(f"{meshes.names[index]}.glb")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def members(data: bytes) -> list[str]:
    """The names in a tar."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return tar.getnames()
