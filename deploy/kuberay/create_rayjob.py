"""Asks the Kubernetes API server for a RayJob under the name of the day; content if it is there already.

    python create_rayjob.py rayjob.yaml

Runs in a pod, with the pod's service account; the standard library and PyYAML are all that it needs.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import yaml

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONFLICT = 409


def create(manifest: Path, day: str, account: Path, environment: Mapping[str, str]) -> str:
    """Creates the RayJob of `manifest`, NAME-DAY, in the account's namespace; returns what was done, in a line.

    Raises:
        OSError: the API server cannot be reached, or refuses.
    """
    job = yaml.safe_load(manifest.read_text("utf-8"))
    job["metadata"]["name"] += f"-{day}"
    name, namespace = job["metadata"]["name"], (account / "namespace").read_text().strip()
    server = environment.get("KUBERNETES_API") or "https://kubernetes.default.svc"
    request = urllib.request.Request(
        f"{server}/apis/ray.io/v1/namespaces/{namespace}/rayjobs",
        data=json.dumps(job).encode(),
        headers={
            "Authorization": f"Bearer {(account / 'token').read_text().strip()}",
            "Content-Type": "application/json",
        },
    )
    authority = account / "ca.crt"
    trust = ssl.create_default_context(cafile=str(authority)) if authority.exists() else None
    try:
        with urllib.request.urlopen(request, context=trust, timeout=60):
            return f"created rayjob {namespace}/{name}"
    except urllib.error.HTTPError as error:
        if error.code != CONFLICT:
            raise OSError(f"{error.code} {error.reason}: {error.read().decode(errors='replace')}") from None
        return f"rayjob {namespace}/{name} is there already: nothing to do"


if __name__ == "__main__":
    print(create(Path(sys.argv[1]), f"{datetime.now(UTC):%Y-%m-%d}", ACCOUNT, os.environ))
