"""OpenAPI documents from the kind table and the types behind it. Pure: a table goes in, bytes come out.

    kinds -> definitions.py (schemas) + operations.py (paths) -> v2.py (Swagger 2.0: JSON, gnostic protobuf)
                                                             -> v3.py (OpenAPI 3.0: an index, a document per version)

Building takes tens of milliseconds; who serves the bytes keeps them until the table changes.
"""

from controlplane.apiserver.openapi.v2 import build_v2_json
from controlplane.apiserver.openapi.v2_proto import build_v2_proto
from controlplane.apiserver.openapi.v3 import v3_document, v3_index

__all__ = ["build_v2_json", "build_v2_proto", "v3_document", "v3_index"]
