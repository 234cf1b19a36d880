"""plan.json is written, read, and refused in one line where it is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.output.plan_json import read_plan, write_plan
from pipeline.output.run_json import read_record
from pipeline.storage.store import Storage

PLAN: dict[str, Any] = {"images": 5, "seconds": 2.0, "start_seconds": 1.0, "seconds_per_image": {}}


def test_a_plan_is_read_as_it_was_written_and_an_output_with_it_is_new(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    assert read_plan(storage) is None
    write_plan(storage, PLAN)
    assert read_plan(storage) == {**PLAN, "format": "facegpt-plan"}
    assert storage.is_empty() and read_record(storage) is None
    (tmp_path / "probe").mkdir()
    assert storage.is_empty(), "a probe that was killed is no run"
    (tmp_path / "other").touch()
    assert not storage.is_empty()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "facegpt-plan", "images": 0}'])
def test_a_damaged_plan_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(UsageError, match=r"plan\.json is no plan of facegpt, or damaged") as error:
        read_plan(Storage(str(tmp_path)))
    assert "\n" not in str(error.value)
