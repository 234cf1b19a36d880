"""The table of machines: the bundled one, the user's own, and what is wrong with it in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.planning.machines import chosen


def test_the_bundled_table_is_dated_and_priced() -> None:
    machines, noted = chosen(["all"])
    assert "2025" in noted and "check" in noted
    assert len(machines) > 10
    assert all(one.name and one.price_per_hour and one.memory_gib for one in machines)
    assert not any(one.faces_per_second for one in machines)


def test_machines_are_chosen_by_name_in_the_order_given() -> None:
    machines, _ = chosen(["g6.xlarge", "c7i.4xlarge", "g6.xlarge"])
    assert [(one.name, one.cpus, one.gpus) for one in machines] == [
        ("g6.xlarge", 4, 1),
        ("c7i.4xlarge", 16, 0),
    ]


def test_a_file_of_the_user_takes_the_place_of_the_table(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("machines: {ours: {cpus: 48, gpus: 2, faces_per_second: 90}, theirs: {cpus: 2}}")
    machines, noted = chosen([str(file)])
    assert [one.name for one in machines] == ["ours", "theirs"] and noted == ""
    assert chosen(["ours", str(file)])[0][0].faces_per_second == 90
    with pytest.raises(UsageError, match=r"no 'g6\.xlarge' in .*mine\.yaml; did you mean"):
        chosen([str(file), "g6.xlarge"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "machines: {a: {cpus: 0}}",
            r"machines file key 'machines\.a\.cpus': input should be greater than 0",
        ),
        (
            "machines: {a: {cpus: 2, price: 1}}",
            r"unknown machines file key 'machines\.a\.price'; the nearest",
        ),
        ("machines: {a: {gpus: 1}}", r"names no 'machines\.a\.cpus'"),
        ("machines: {a: {cpus: 2, core_speed: -1}}", "core_speed"),
        ("machines: {}", "machines"),
        ("[1]", "must be a mapping of `machines`"),
        ("a: [", "is not YAML"),
        ("noted: x", "names no 'machines'"),
    ],
)
def test_a_file_that_is_wrong_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message) as error:
        chosen([str(file)])
    assert "\n" not in str(error.value)


def test_names_and_files_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"no 'c7i\.4xlarg' in the table of facegpt; did you mean 'c7i\.4xlarge'"
    ):
        chosen(["c7i.4xlarg"])
    with pytest.raises(UsageError, match="cannot read the machines file"):
        chosen([str(tmp_path / "none.yaml")])
    with pytest.raises(UsageError, match="one file, not 2"):
        chosen(["a.yaml", "b.yml"])
