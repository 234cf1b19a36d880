"""Machines that a plan can be made for, with their prices: a table that comes with facegpt, or the user's own."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from facegpt.settings import Configuration, Section, SettingsError
from pipeline.errors import UsageError

BUNDLED_TABLE = Path(__file__).with_name("machines.yaml")
ALL = "all"
SUFFIXES = (".yaml", ".yml")

AboveZero = Annotated[float, Field(gt=0)]


class Machine(Section):
    """A machine. `core_speed`: how many times as fast as a CPU of the machine where the probe runs one of its CPUs is.
    `faces_per_second`: what one of its GPUs annotates, as `facegpt plan` says on such a machine; absent, the model is
    not planned for there.
    """

    name: str = ""
    cpus: AboveZero
    gpus: Annotated[int, Field(ge=0)] = 0
    memory_gib: AboveZero | None = None
    price_per_hour: Annotated[float, Field(ge=0)] | None = None
    currency: str = "USD"
    core_speed: AboveZero = 1.0
    faces_per_second: AboveZero | None = None


class MachineTable(Configuration):
    """Machines by name; `noted` says when the prices were looked up, and where they hold."""

    title: ClassVar[str] = "machines file"
    contents: ClassVar[str] = "`machines`"

    noted: str = ""
    machines: Annotated[dict[str, Machine], Field(min_length=1)]

    @classmethod
    def known_keys(cls) -> list[str]:
        """Lists all keys, those of a machine as well, for messages that name the nearest."""
        return [*super().known_keys(), *Machine.model_fields]


def chosen(names: Sequence[str]) -> tuple[list[Machine], str]:
    """Finds the machines that are named, and says of when their prices are.

    Args:
        names: names of machines, of the bundled table or of the one file (.yaml) among them; `all`, or the file alone,
            for every machine of the table.

    Raises:
        UsageError: the file cannot be read or is no table, or it has no machine of a name.
    """
    files = [name for name in names if name.lower().endswith(SUFFIXES)]
    if len(files) > 1:
        raise UsageError(f"--machines takes one file, not {len(files)}: {', '.join(files)}")
    path = files[0] if files else str(BUNDLED_TABLE)
    try:
        table = MachineTable.load(path)
    except SettingsError as error:
        raise UsageError(str(error)) from None
    wanted = [name for name in names if name not in files]
    if not wanted or ALL in wanted:
        wanted = list(table.machines)
    return list(_found(table, wanted, path)), table.noted


def _found(table: MachineTable, names: Sequence[str], path: str) -> Iterator[Machine]:
    for name in dict.fromkeys(names):
        if name not in table.machines:
            near = difflib.get_close_matches(name, table.machines, n=1, cutoff=0.0)[0]
            where = "the table of facegpt" if path == str(BUNDLED_TABLE) else path
            raise UsageError(f"--machines: there is no {name!r} in {where}; did you mean {near!r}?")
        yield table.machines[name].model_copy(update={"name": name})
