"""A Ray cluster of several nodes on this machine, which can be lost one by one: processes in place of machines."""

from __future__ import annotations

import random
from types import TracebackType
from typing import Any

import ray.cluster_utils

from drills.job import family, kill

STORE_BYTES = 200 * 2**20
WORKERS = 2


class Nodes:
    """A head without CPUs, and nodes of two CPUs that do the work. A context manager: leaving it ends all of them."""

    def __init__(self) -> None:
        self.clusters: list[Any] = []
        self.has_head = False

    def __enter__(self) -> Nodes:
        self.renew()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for cluster in reversed(self.clusters):
            cluster.shutdown()

    @property
    def address(self) -> str:
        return str(self.clusters[-1].address)

    def renew(self) -> None:
        """Starts a new head with nodes of its own; what a lost head left behind is not touched."""
        head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        self.clusters.append(ray.cluster_utils.Cluster(initialize_head=True, head_node_args=head))
        for _ in range(WORKERS):
            self._add_node()
        self.has_head = True

    def lose_node(self, rng: random.Random) -> int:
        """Kills all processes of one node at once; another joins in its place. Says how many were killed."""
        cluster = self.clusters[-1]
        node = rng.choice(sorted(cluster.worker_nodes, key=_pid))
        killed = kill(_family(node))
        cluster.remove_node(node, allow_graceful=False)
        self._add_node()
        return killed

    def lose_head(self) -> int:
        """Kills all processes of the head at once, and leaves the nodes to themselves; says how many were killed."""
        cluster = self.clusters[-1]
        killed = kill(_family(cluster.head_node))
        cluster.remove_node(cluster.head_node, allow_graceful=False)
        self.has_head = False
        return killed

    def _add_node(self) -> None:
        self.clusters[-1].add_node(num_cpus=2, object_store_memory=STORE_BYTES)


def _family(node: Any) -> list[int]:
    return family(one.process.pid for several in node.all_processes.values() for one in several)


def _pid(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)
