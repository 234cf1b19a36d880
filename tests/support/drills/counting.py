"""What an output holds, row by row, against the output of a run that nothing disturbed."""

from __future__ import annotations

import hashlib
import tarfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas

from pipeline.output.run_json import existing_run
from pipeline.storage.store import Storage
from pipeline.upkeep.verify import verify


@dataclass(frozen=True)
class Count:
    """What an output holds against what it should: rows, how many are lost, doubled or different, and what `facegpt
    verify` finds wrong.
    """

    images: int
    faces: int
    lost: int
    duplicated: int
    different: int
    problems: int

    @property
    def is_right(self) -> bool:
        return not (self.lost or self.duplicated or self.different or self.problems)


def compare(output: Path, reference: Path) -> Count:
    """Counts ledger rows, face rows and meshes of `output` against those of an undisturbed run.

    Every value of a row must be the same to the last digit, every mesh to the last byte; in which shard a row lies does
    not matter.
    """
    lost, duplicated, different = 0, 0, 0
    tables = {}
    for name, key in (("images", "uri"), ("faces", "face_id")):
        found, wanted = (pandas.read_parquet(place / name) for place in (output, reference))
        tables[name] = found
        found_keys, wanted_keys = Counter(found[key]), Counter(wanted[key])
        lost += (wanted_keys - found_keys).total()
        duplicated += (found_keys - wanted_keys).total()
        different += _differing(found, wanted, key)
    found_meshes, wanted_meshes = meshes(output), meshes(reference)
    lost += (wanted_meshes - found_meshes).total()
    duplicated += (found_meshes - wanted_meshes).total()
    storage = Storage(str(output))
    problems = verify(storage, str(existing_run(storage)["fingerprint"])).problems
    return Count(len(tables["images"]), len(tables["faces"]), lost, duplicated, different, len(problems))


def _differing(found: pandas.DataFrame, wanted: pandas.DataFrame, key: str) -> int:
    rows = {row[key]: row for row in _plain(wanted)}
    return sum(row[key] in rows and row != rows[row[key]] for row in _plain(found))


def _plain(table: pandas.DataFrame) -> list[dict[str, object]]:
    records = table.drop(columns="shard").to_dict("records")
    return [
        {str(name): str(getattr(value, "tolist", lambda v=value: v)()) for name, value in row.items()}
        for row in records
    ]


def meshes(output: Path) -> Counter[tuple[str, str]]:
    """Names and sha256 of the meshes in the packs."""
    found: Counter[tuple[str, str]] = Counter()
    for path in sorted((output / "meshes").glob("*.tar")):
        with tarfile.open(path) as pack:
            for member in pack:
                file = pack.extractfile(member)
                assert file is not None
                found[member.name, hashlib.sha256(file.read()).hexdigest()] += 1
    return found
