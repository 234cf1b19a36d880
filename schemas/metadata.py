"""Provenance in the header of `faces`: the model, face model and detector that its rows come from."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import pyarrow as pa

KEY = b"facegpt"


@dataclass(frozen=True)
class Provenance:
    """Provenance of a file's rows.

    `face_model_id`, `face_model_sha256`: the 3DMM that the coefficients belong to, of `n_shape`, `n_expression` and
    `n_albedo` modes; `expression_names`: one per expression mode. `model_digest`: sha256 of the network's weights.
    `detector` and `detector_fingerprint`: its name, and a hash of its weights and settings. `landmarks5_source`:
    "detector", or "landmarks68" where the detector gives no points and they are taken from the 68. `crop_size`: px.
    `fingerprint`: of configuration, model, face model, detector and code together; one output holds one fingerprint.
    """

    face_model_id: str
    face_model_sha256: str
    n_shape: int
    n_expression: int
    n_albedo: int
    expression_names: tuple[str, ...]
    model_digest: str
    detector: str
    detector_fingerprint: str
    landmarks5_source: str
    crop_size: int
    fingerprint: str

    def attach(self, schema: pa.Schema) -> pa.Schema:
        """Returns the schema with this provenance added to its metadata."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return schema.with_metadata({**(schema.metadata or {}), KEY: text.encode()})


def read_provenance(schema: pa.Schema) -> Provenance:
    """Reads the provenance in a schema's metadata; raises ValueError if it has none."""
    text = (schema.metadata or {}).get(KEY)
    if text is None:
        raise ValueError("the table carries no facegpt metadata")
    values = json.loads(text)
    values["expression_names"] = tuple(values["expression_names"])
    return Provenance(**values)
