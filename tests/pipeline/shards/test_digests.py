from __future__ import annotations

import random

from pipeline.shards.digests import DigestSet
from pipeline.storage.locations import Entry


def test_it_says_what_a_set_would_say() -> None:
    digests, expected = DigestSet(), set[Entry]()
    for _ in range(200):
        batch = [Entry(f"/{random.randrange(3000)}", random.randrange(2), "e") for _ in range(50)]
        fresh = [entry for entry in dict.fromkeys(batch) if entry not in expected]
        assert digests.add_new(batch) == fresh
        expected.update(fresh)
    assert len(digests) == len(expected) > 3000


def test_nothing_is_no_trouble() -> None:
    digests = DigestSet()
    assert digests.add_new([]) == []
    assert len(digests) == 0


def test_sixteen_bytes_an_image_in_few_arrays() -> None:
    digests = DigestSet()
    for start in range(0, 20_000, 100):
        digests.add(
            Entry(f"/a/long/name/of/a/folder/{number}.jpg", 1, "1") for number in range(start, start + 100)
        )
    assert len(digests._arrays) <= 15
    assert sum(part.nbytes for part in digests._arrays) == 16 * 20_000
