"""The Kubernetes files, held against the fields that KubeRay documents, our own parser and our versions. No cluster."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shlex
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from jobs import annotate
from pipeline.config import load_config
from pipeline.execution.plan import plan_workers

JOB_FIELDS = {
    "activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata", "clusterSelector",
    "submitterConfig", "managedBy", "deletionStrategy", "entrypoint", "runtimeEnvYAML", "jobId", "submissionMode",
    "entrypointResources", "entrypointNumCpus", "entrypointNumGpus", "ttlSecondsAfterFinished",
    "shutdownAfterJobFinishes", "suspend",
}  # fmt: skip
CLUSTER_FIELDS = {
    "headGroupSpec", "workerGroupSpecs", "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions",
    "headServiceAnnotations", "suspend", "authOptions", "gcsFaultToleranceOptions", "managedBy",
}  # fmt: skip
HEAD_FIELDS = {"serviceType", "headService", "enableIngress", "rayStartParams", "template"}
GROUP_FIELDS = {
    "groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "idleTimeoutSeconds", "rayStartParams",
    "template", "scaleStrategy", "suspend",
}  # fmt: skip
"""The fields of RayJobSpec, RayClusterSpec, HeadGroupSpec and WorkerGroupSpec (ray.io/v1) of KubeRay's reference."""


@pytest.fixture
def folder(repository: Path) -> Path:
    return repository / "deploy" / "kuberay"


@pytest.fixture
def job(folder: Path) -> dict[str, Any]:
    loaded = yaml.safe_load((folder / "rayjob.yaml").read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture
def nightly(folder: Path) -> dict[str, Any]:
    """The documents of nightly.yaml by kind."""
    documents = yaml.safe_load_all((folder / "nightly.yaml").read_text("utf-8"))
    return {document["kind"]: document for document in documents}


@pytest.fixture
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]


def pins(repository: Path) -> dict[str, str]:
    lines = (repository / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def containers(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [container for group in groups for container in group["template"]["spec"]["containers"]]


def test_the_rayjob_has_the_fields_that_there_are(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    assert set(spec) <= JOB_FIELDS
    assert set(cluster) <= CLUSTER_FIELDS
    assert set(cluster["headGroupSpec"]) <= HEAD_FIELDS
    for group in cluster["workerGroupSpecs"]:
        assert set(group) <= GROUP_FIELDS
        assert {"groupName", "minReplicas", "maxReplicas", "template"} <= set(group)
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    assert all(isinstance(value, str) for value in cluster["headGroupSpec"]["rayStartParams"].values())
    assert re.fullmatch(
        r"[a-z0-9]([-a-z0-9]{0,34}[a-z0-9])?", job["metadata"]["name"]
    )  # and -2026-11-21 behind


def test_the_cluster_grows_and_goes_and_its_head_carries_no_work(job: dict[str, Any]) -> None:
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["backoffLimit"] >= 1
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    gpu = [container for container in containers(job) if "nvidia.com/gpu" in container["resources"]["limits"]]
    assert len(gpu) == 1
    for container in containers(job):
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert container["envFrom"] == [{"secretRef": {"name": "facegpt-s3"}}]


def test_the_command_is_one_of_ours_and_fits_the_cluster(job: dict[str, Any]) -> None:
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[:4] == ["python", "-m", "jobs", "annotate"]
    parser = argparse.ArgumentParser(exit_on_error=False)
    annotate.add_arguments(parser)
    args = parser.parse_args(words[4:])
    assert args.input.startswith("s3://")
    config = load_config(args.config, args.overrides)
    groups = {group["groupName"]: group for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"]}
    cpus = gpus = 0
    for group in groups.values():
        (container,) = group["template"]["spec"]["containers"]
        limits = container["resources"]["limits"]
        cpus += int(limits["cpu"]) * group["maxReplicas"]
        gpus += int(limits.get("nvidia.com/gpu", 0)) * group["maxReplicas"]
    plan = plan_workers(config, 8, 1)  # what is there when the run begins
    assert plan.annotate == gpus
    assert 0.8 * cpus < (plan.detect + plan.annotate + plan.commit) * plan.cpus_per_worker <= cpus


def test_images_and_versions_are_those_that_are_tested(
    job: dict[str, Any], nightly: dict[str, Any], project: dict[str, Any], repository: Path
) -> None:
    image = f"REGISTRY/facegpt:{project['version']}"
    cron = nightly["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert {container["image"] for container in [*containers(job), *cron["containers"]]} == {image}
    ray = pins(repository)["ray"]
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == ray
    dockerfile = (repository / "deploy" / "Dockerfile").read_text("utf-8")
    assert f"FROM rayproject/ray:{ray}-py311\n" in dockerfile
    assert f"torch=={pins(repository)['torch']} " in dockerfile
    assert f"-t {image} ." in dockerfile
    assert dockerfile.count("-c constraints.txt") == 2


def test_the_image_gets_every_room_and_nothing_that_is_not_there(repository: Path) -> None:
    dockerfile = (repository / "deploy" / "Dockerfile").read_text("utf-8")
    copied = [
        word
        for line in re.findall(r"^COPY --chown=\S+ (.+)$", dockerfile, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert {"facegpt", "schemas", "pipeline", "jobs", "constraints.txt", "pyproject.toml"} <= set(copied)
    assert [word for word in copied if not (repository / word).exists()] == []


def test_the_nightly_run_is_alone_and_may_do_one_thing(nightly: dict[str, Any], folder: Path) -> None:
    cron = nightly["CronJob"]
    assert (cron["apiVersion"], cron["spec"]["concurrencyPolicy"]) == ("batch/v1", "Forbid")
    assert len(cron["spec"]["schedule"].split()) == 5
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    account = nightly["ServiceAccount"]["metadata"]["name"]
    assert pod["serviceAccountName"] == account
    assert pod["restartPolicy"] in ("Never", "OnFailure")
    assert nightly["Role"]["rules"] == [
        {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create"]}
    ]
    assert nightly["RoleBinding"]["roleRef"]["name"] == nightly["Role"]["metadata"]["name"]
    assert nightly["RoleBinding"]["subjects"] == [{"kind": "ServiceAccount", "name": account}]
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    (generated,) = kustomization["configMapGenerator"]
    assert pod["volumes"][0]["configMap"]["name"] == generated["name"]
    mounted = {
        f"{pod['containers'][0]['volumeMounts'][0]['mountPath']}/{name}" for name in generated["files"]
    }
    assert set(pod["containers"][0]["command"][1:]) == mounted
    assert all((folder / name).is_file() for name in (*generated["files"], *kustomization["resources"]))


class Api:
    """As much of a Kubernetes API server as a creation needs: 201 the first time, then 409; 403 with another token."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        api = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None: ...

            def do_POST(self) -> None:
                job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                key = f"{self.path}/{job['metadata']['name']}"
                allowed = self.headers["Authorization"] == "Bearer the-token"
                status = 403 if not allowed else 409 if key in api.jobs else 201
                if status == 201:
                    api.jobs[key] = job
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b'{"message": "of the server"}')

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def api() -> Iterator[Api]:
    one = Api()
    threading.Thread(target=one.server.serve_forever, daemon=True).start()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def create_rayjob(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("create_rayjob", folder / "create_rayjob.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_day_has_one_rayjob(
    api: Api, create_rayjob: ModuleType, folder: Path, job: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "namespace").write_text("faces\n")
    (tmp_path / "token").write_text("the-token\n")
    environment = {"KUBERNETES_API": api.address}

    def create(day: str) -> str:
        said = create_rayjob.create(folder / "rayjob.yaml", day, tmp_path, environment)
        assert isinstance(said, str)
        return said

    assert create("2026-11-21") == "created rayjob faces/facegpt-annotate-2026-11-21"
    assert create("2026-11-21") == "rayjob faces/facegpt-annotate-2026-11-21 is there already: nothing to do"
    assert create("2026-11-22").startswith("created")
    path = "/apis/ray.io/v1/namespaces/faces/rayjobs"
    assert list(api.jobs) == [f"{path}/facegpt-annotate-2026-11-2{day}" for day in (1, 2)]
    assert next(iter(api.jobs.values()))["spec"] == job["spec"]
    (tmp_path / "token").write_text("another")
    with pytest.raises(OSError, match=r"403 Forbidden: .*of the server"):
        create("2026-11-23")
