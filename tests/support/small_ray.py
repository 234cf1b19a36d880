"""A Ray of two CPUs on this machine, for tests."""

from __future__ import annotations

from collections.abc import Mapping

import fake_model
import pytest
import ray

ATTEMPTS = 5
"""Ray gives its processes 30 s to come up, which they may miss on a machine that others keep busy."""


def start_ray(environment: Mapping[str, str] | None = None) -> None:
    """Starts a Ray in place of the one that this process may have; its workers see `environment` beside this process's.

    Workers do not have the tests' path: the stand-in for the model is sent to them by value.
    """
    ray.cloudpickle.register_pickle_by_value(fake_model)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        for attempt in range(ATTEMPTS):
            ray.shutdown()
            try:
                ray.init(
                    address="local",
                    num_cpus=2,
                    include_dashboard=False,
                    object_store_memory=300 * 2**20,
                    _node_ip_address="127.0.0.1",
                    log_to_driver=False,
                    logging_level="ERROR",
                )
                return
            except Exception:
                if attempt == ATTEMPTS - 1:
                    raise
