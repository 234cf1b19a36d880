"""Meshes of a shard: GLB files with vertex colours, packed in a tar."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable

from facegpt.library.glb import GlbWriter, to_glb
from pipeline.shards.shard import MeshData


def pack_meshes(meshes: MeshData) -> bytes:
    """Packs the meshes of a shard as a tar: FACE_ID.glb for each face, encoded one after the other."""
    order = sorted(range(len(meshes.names)), key=lambda index: meshes.names[index])
    writer = GlbWriter(meshes.triangles)
    return write_tar(
        (f"{meshes.names[index]}.glb", writer.encode(meshes.vertices[index], meshes.colours[index]))
        for index in order
    )


def encode_glb(meshes: MeshData, index: int) -> tuple[str, bytes]:
    """Encodes one mesh; returns the name and the bytes of its GLB file."""
    data = to_glb(meshes.vertices[index], meshes.triangles, meshes.colours[index])
    return f"{meshes.names[index]}.glb", data


def write_tar(files: Iterable[tuple[str, bytes | memoryview]]) -> bytes:
    """Writes a tar of files, sorted by name already, without times or owners: equal files give equal bytes."""
    parts: list[bytes | memoryview] = []
    for name, data in files:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        header = member.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
        parts += (header, data, bytes(-len(data) % tarfile.BLOCKSIZE))
    # A tar ends with two empty blocks, and is filled up to whole records.
    length = sum(map(len, parts)) + 2 * tarfile.BLOCKSIZE
    parts.append(bytes(2 * tarfile.BLOCKSIZE + -length % tarfile.RECORDSIZE))
    return b"".join(parts)


def unpack_tar(data: bytes) -> dict[str, memoryview]:
    """Returns the files in a tar by name, as views into `data`: a tar can be large."""
    whole = memoryview(data)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return {
            member.name: whole[member.offset_data : member.offset_data + member.size]
            for member in tar.getmembers()
        }


def tar_names(data: bytes) -> list[str]:
    """Lists the names in a tar."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return tar.getnames()
