"""All that was found, kept in a file: parts that were measured at different hours make one page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmarks.throughput.first import Waits
from benchmarks.throughput.memory import Memory
from benchmarks.throughput.runs import Table, Timed
from benchmarks.throughput.scale import Scale


@dataclass
class Results:
    """Figures by part, empty or None where a part was not measured; `machine` says where and when each one was.

    `before`: the steps of `stages` in another checkout, repeat by repeat in turn with these.
    """

    machine: dict[str, str] = field(default_factory=dict)
    stages: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    runs: dict[int, Table] = field(default_factory=dict)
    waits: Waits | None = None
    memory: dict[str, Memory] = field(default_factory=dict)
    scale: Scale | None = None

    def save(self, file: Path) -> None:
        """Writes all figures as JSON."""
        file.write_text(json.dumps(asdict(self), indent=1), "utf-8")

    @classmethod
    def load(cls, file: Path) -> Results:
        """Reads what `save` wrote; nothing if the file is not there. Raises SystemExit if another version wrote it."""
        if not file.exists():
            return cls()
        raw = json.loads(file.read_text("utf-8"))
        if missing := {one.name for one in fields(cls)} ^ raw.keys():
            raise SystemExit(f"{file} is of another version ({', '.join(sorted(missing))}): move it away")
        return cls(
            machine=raw["machine"],
            stages=raw["stages"],
            before=raw["before"],
            runs={int(count): _table(one) for count, one in raw["runs"].items()},
            waits=Waits(**raw["waits"]) if raw["waits"] else None,
            memory={name: _memory(one) for name, one in raw["memory"].items()},
            scale=_scale(raw["scale"]) if raw["scale"] else None,
        )


def _table(raw: dict[str, Any]) -> Table:
    runs = {name: [Timed(**one) for one in each] for name, each in raw["runs"].items()}
    return Table(raw["photos"], raw["cpus"], runs)


def _memory(raw: dict[str, Any]) -> Memory:
    roles = {name: (int(values[0]), values[1], values[2]) for name, values in raw["roles"].items()}
    return Memory(raw["photos"], raw["peak"], roles, raw["highest"])


def _scale(raw: dict[str, Any]) -> Scale:
    def by_size(values: dict[str, Any]) -> dict[int, Any]:
        return {int(size): each for size, each in values.items()}

    driver = {size: [tuple(one) for one in each] for size, each in by_size(raw["driver_mb"]).items()}
    return Scale(by_size(raw["per_image"]), by_size(raw["start"]), driver)
