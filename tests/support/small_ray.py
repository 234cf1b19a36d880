"""A Ray of two CPUs for the tests of one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import ray


@contextmanager
def small_ray(*by_value: ModuleType) -> Iterator[None]:
    """Starts it and ends it; workers do not have the tests' path, so modules `by_value` are sent to them."""
    for module in by_value:
        ray.cloudpickle.register_pickle_by_value(module)
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=300 * 2**20,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
        logging_level="ERROR",
    )
    try:
        yield
    finally:
        ray.shutdown()
        for module in by_value:
            ray.cloudpickle.unregister_pickle_by_value(module)
