"""Amending a committed shard: some of its images are annotated again, and their rows replaced; all others stay."""

from __future__ import annotations

from collections import Counter, defaultdict, deque

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.output.commit import count_rows, ledger_table
from pipeline.output.meshes import encode_glb
from pipeline.output.shard_files import read_shard, rewrite_shard
from pipeline.shards.shard import AnnotatedShard, ShardOutcome
from pipeline.storage.journal import finish_rewrite, rewrite_atomically
from pipeline.storage.store import Storage
from pipeline.storage.tables import is_among


def amend_shard(storage: Storage, shard: AnnotatedShard, fingerprint: str) -> ShardOutcome:
    """Replaces the rows, faces and meshes of the images in `shard`; the ledger keeps its order.

    Doing it again changes nothing more.

    Args:
        storage: of the output.
        shard: some images of a committed shard, annotated again.
        fingerprint: the run's.

    Returns:
        The counts of the images that were annotated again.

    Raises:
        UsageError: the committed shard is damaged, or does not hold these images.
    """
    finish_rewrite(storage, shard.shard)
    old = read_shard(storage, shard.shard)
    uris = {record.uri for record in shard.images}
    images = _replace_rows(old.images, ledger_table(shard.images))
    kept = old.faces.filter(pc.invert(is_among(old.faces["uri"], uris)))
    schema = shard.faces.schema
    if not kept.schema.equals(schema) or kept.schema.metadata != schema.metadata:
        raise UsageError(f"faces/{shard.shard}.parquet was made by something else than what runs now")
    # Parquet gives the items of lists a name of its own; the cast gives them ours.
    faces = _sort_by_image(pa.concat_tables([kept.cast(schema), shard.faces]), images)
    meshes = dict(old.meshes)
    if shard.meshes is not None:
        glbs = (encode_glb(shard.meshes, index) for index in range(len(shard.meshes.names)))
        meshes |= {name: data for name, data in glbs if name not in meshes}
    with rewrite_atomically(storage, shard.shard) as rewrite:
        rewrite_shard(rewrite, old, images=images, faces=faces, meshes=meshes, fingerprint=fingerprint)
    return count_rows(shard)


def _replace_rows(old: pa.Table, new: pa.Table) -> pa.Table:
    """Replaces the ledger rows in `old` that have the URI of a row in `new`; the order stays.

    Raises:
        UsageError: a URI is not in both the same number of times.
    """
    replacements: defaultdict[str, deque[int]] = defaultdict(deque)
    for index, uri in enumerate(new["uri"].to_pylist()):
        replacements[uri].append(old.num_rows + index)
    uris = old["uri"].to_pylist()
    replaced = Counter(uri for uri in uris if uri in replacements)
    if replaced != {uri: len(rows) for uri, rows in replacements.items()}:
        raise UsageError("the images that were done again are not those of the committed shard")
    order = [replacements[uri].popleft() if uri in replacements else index for index, uri in enumerate(uris)]
    return pa.concat_tables([old, new]).take(pa.array(order, pa.int64()))


def _sort_by_image(faces: pa.Table, images: pa.Table) -> pa.Table:
    """Sorts faces in the order of their images; those of one image keep their order."""
    rank = {uri: index for index, uri in reversed(list(enumerate(images["uri"].to_pylist())))}
    uris = faces["uri"].to_pylist()
    order = sorted(range(len(uris)), key=lambda row: rank[uris[row]])
    return faces.take(pa.array(order, pa.int64()))
