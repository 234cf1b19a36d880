"""The pyarrow schemas of every table, their metadata and their version. Imports pyarrow alone."""

from schemas.columns import vector
from schemas.faces import FaceDims, faces_schema
from schemas.images import STAGES, STATUSES, images_schema
from schemas.manifest import manifest_schema
from schemas.metadata import Provenance, read_provenance
from schemas.tombstones import tombstones_schema
from schemas.version import SCHEMA_VERSION

__all__ = [
    "SCHEMA_VERSION",
    "STAGES",
    "STATUSES",
    "FaceDims",
    "Provenance",
    "faces_schema",
    "images_schema",
    "manifest_schema",
    "read_provenance",
    "tombstones_schema",
    "vector",
]
