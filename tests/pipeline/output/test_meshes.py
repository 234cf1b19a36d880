"""Tars of meshes: the bytes that the standard library writes, and every file in them again."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest

from facegpt.library.glb import to_trimesh
from pipeline.output.meshes import encode_glb, pack_meshes, tar_names, unpack_tar, write_tar
from pipeline.shards.shard import MeshData


def by_tarfile(files: list[tuple[str, bytes]]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return sink.getvalue()


@pytest.mark.parametrize(
    "sizes", [(), (0,), (1,), (512,), (511, 513, 0), (10240, 9000), (8192,), (8704,), (9216,)]
)
def test_a_tar_has_the_bytes_of_the_standard_library(sizes: tuple[int, ...]) -> None:
    files = [(f"{number}-é.glb", bytes([number + 1]) * size) for number, size in enumerate(sizes)]
    packed = write_tar(iter(files))
    assert packed == by_tarfile(files)
    assert {name: bytes(data) for name, data in unpack_tar(packed).items()} == dict(files)


def test_views_into_another_tar_can_be_packed_again() -> None:
    files = [("a.glb", b"abc"), ("b.glb", b"d" * 700)]
    views = unpack_tar(write_tar(files))
    assert write_tar(views.items()) == write_tar(files)


def test_a_name_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="name is too long"):
        write_tar([("n" * 300, b"")])


def test_meshes_are_packed_by_name_as_trimesh_exports_them() -> None:
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(3, 6, 3)).astype(np.float32)
    colours = rng.integers(0, 256, (3, 6, 3)).astype(np.uint8)
    triangles = np.array([[0, 1, 2], [3, 4, 5]])
    meshes = MeshData(["c", "a", "b"], vertices, colours, triangles)
    packed = pack_meshes(meshes)
    assert tar_names(packed) == ["a.glb", "b.glb", "c.glb"]
    files = unpack_tar(packed)
    for index, name in enumerate(meshes.names):
        exported = to_trimesh(vertices[index], triangles, colours[index]).export(file_type="glb")
        assert bytes(files[f"{name}.glb"]) == exported == encode_glb(meshes, index)[1]
