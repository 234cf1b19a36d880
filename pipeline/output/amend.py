"""A committed shard with some of its rows exchanged or taken out; all others stay as they are."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.output.commit import ledger_table
from pipeline.output.meshes import encode_glb
from pipeline.output.shard_files import read_shard, rewrite_shard
from pipeline.shards.shard import AnnotatedShard, ShardOutcome
from pipeline.storage.journal import finish_rewrite, rewrite_atomically
from pipeline.storage.store import Storage


def amend_shard(storage: Storage, shard: AnnotatedShard, fingerprint: str) -> ShardOutcome:
    """Puts the rows, faces and meshes of `shard` in place of those that its images had; the ledger keeps its order.

    Doing it again changes nothing more.

    Args:
        storage: of the output.
        shard: some images of a committed shard, annotated again.
        fingerprint: the run's.

    Returns:
        The counts of the images that were done again.

    Raises:
        UsageError: the committed shard is damaged, or does not hold these images.
    """
    finish_rewrite(storage, shard.shard)
    old = read_shard(storage, shard.shard)
    uris = {record.uri for record in shard.images}
    fresh = ledger_table(shard.images)
    images = _exchanged(old.images, fresh)
    kept = old.faces.filter(pc.invert(_among(old.faces["uri"], uris)))
    schema = shard.faces.schema
    if not kept.schema.equals(schema) or kept.schema.metadata != schema.metadata:
        raise UsageError(f"faces/{shard.shard}.parquet was made by something else than what runs now")
    # Parquet gives the items of lists a name of its own; the cast gives them ours.
    faces = _ordered(pa.concat_tables([kept.cast(schema), shard.faces]), images)
    meshes = dict(old.meshes)
    if shard.meshes is not None:
        made = (encode_glb(shard.meshes, index) for index in range(len(shard.meshes.names)))
        meshes |= {name: data for name, data in made if name not in meshes}
    with rewrite_atomically(storage, shard.shard) as changes:
        rewrite_shard(changes, old, images, faces, meshes, fingerprint)
    return ShardOutcome(
        shard=shard.shard,
        images=fresh.num_rows,
        faces=shard.faces.num_rows,
        meshes=len(shard.meshes.names) if shard.meshes is not None else 0,
        statuses=Counter(record.status for record in shard.images),
    )


def _among(column: pa.ChunkedArray, values: Collection[str]) -> pa.ChunkedArray:
    return pc.is_in(column, pa.array(sorted(values), pa.string()))


def _exchanged(old: pa.Table, fresh: pa.Table) -> pa.Table:
    """`old` with the rows of `fresh` in place of those of the same URI, in order."""
    waiting: defaultdict[str, deque[int]] = defaultdict(deque)
    for index, uri in enumerate(fresh["uri"].to_pylist()):
        waiting[uri].append(old.num_rows + index)
    uris = old["uri"].to_pylist()
    if Counter(uri for uri in uris if uri in waiting) != {uri: len(rows) for uri, rows in waiting.items()}:
        raise UsageError("the images that were done again are not those of the committed shard")
    order = [waiting[uri].popleft() if uri in waiting else index for index, uri in enumerate(uris)]
    return pa.concat_tables([old, fresh]).take(pa.array(order, pa.int64()))


def _ordered(faces: pa.Table, images: pa.Table) -> pa.Table:
    """Faces in the order of their images; those of one image keep theirs."""
    place = {uri: index for index, uri in reversed(list(enumerate(images["uri"].to_pylist())))}
    uris = faces["uri"].to_pylist()
    order = sorted(range(len(uris)), key=lambda row: place[uris[row]])
    return faces.take(pa.array(order, pa.int64()))
