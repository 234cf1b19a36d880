"""A sample is spread evenly over a listing of any length, in bounded memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from images import encoded
from PIL import Image

from pipeline.errors import UsageError
from pipeline.planning import sample as sample_module
from pipeline.planning.sample import EvenSample, Listed, list_sample
from pipeline.storage.locations import Entry


def entries(first: int, count: int) -> list[Entry]:
    return [Entry(f"{index}", 1, "") for index in range(first, first + count)]


@pytest.mark.parametrize("total", [1, 9, 10, 11, 39, 40, 1003, 12_345])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_sample_is_even_whatever_the_chunks(total: int, chunk: int) -> None:
    sample = EvenSample(10)
    for start in range(0, total, chunk):
        sample.add(entries(start, min(chunk, total - start)))
        assert len(sample._kept) < 20
    places = [int(image.uri) for image in sample.images()]
    assert sample.seen == total
    assert len(set(places)) == len(places) == min(10, total)
    assert places == sorted(places)
    if total > 10:
        gaps = [after - before for before, after in zip(places, [*places[1:], total], strict=True)]
        assert max(gaps) <= 4 * total / 10


def test_an_input_is_listed_whole_or_as_far_as_a_run_lists_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="no image in"):
        list_sample(str(tmp_path), None, 5, all_of_it=True)
    for index in range(2500):
        (tmp_path / f"{index:04d}.png").write_bytes(b"")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.png").write_bytes(encoded(Image.new("RGB", (8, 8))))
    whole = list_sample(str(tmp_path), str(tmp_path / "out"), 5, all_of_it=True)
    assert (whole.images, whole.whole, len(whole.sample)) == (2500, True, 5)
    monkeypatch.setattr(sample_module, "LISTED_BEFORE_START", 900)
    part = list_sample(str(tmp_path), None, 5, all_of_it=False)
    assert (part.images, part.whole) == (1000, False)


def test_a_longer_listing_takes_longer_in_proportion() -> None:
    assert Listed(1000, 2.0, False, ()).seconds_for(5000) == 10.0
