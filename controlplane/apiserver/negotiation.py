"""What a client wants to read: the Accept header of the Kubernetes API. Pure.

`application/json;as=Table;g=meta.k8s.io;v=v1` asks for the same objects in another form. Clients list several wishes;
the first that we can serve wins (Go clients of Kubernetes put them in the order of preference, without q-values).
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from orch.errors import NotAcceptable

JSON_TYPES = ("application/json", "application/*", "*/*")
YAML_TYPE = "application/yaml"
META_VERSIONS = ("v1", "v1beta1")


class Form(StrEnum):
    OBJECT = ""
    TABLE = "Table"
    METADATA = "PartialObjectMetadata"
    METADATA_LIST = "PartialObjectMetadataList"
    DISCOVERY = "APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True)
class Wanted:
    form: Form = Form.OBJECT
    version: str = ""
    yaml: bool = False


PLAIN = Wanted()


@lru_cache(maxsize=512)
def negotiate(accept: str) -> Wanted:
    """Raises NotAcceptable when nothing listed can be served. An empty header accepts everything."""
    if not accept.strip():
        return PLAIN
    for clause in accept.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        wanted = _serve(media.lower(), dict(_pair(parameter) for parameter in parameters))
        if wanted is not None:
            return wanted
    raise NotAcceptable("only the following media types are accepted: application/json, application/yaml")


def _pair(parameter: str) -> tuple[str, str]:
    key, _, value = parameter.partition("=")
    return key.strip(), value.strip()


def _serve(media: str, parameters: dict[str, str]) -> Wanted | None:
    if media not in JSON_TYPES and media != YAML_TYPE:
        return None
    form, group, version = parameters.get("as", ""), parameters.get("g", ""), parameters.get("v", "")
    yaml = media == YAML_TYPE
    match form, group:
        case "", _:
            return Wanted(yaml=yaml)
        case (("Table" | "PartialObjectMetadata" | "PartialObjectMetadataList"), "meta.k8s.io"):
            return Wanted(Form(form), version, yaml) if version in META_VERSIONS else None
        case "APIGroupDiscoveryList", "apidiscovery.k8s.io":
            return Wanted(Form.DISCOVERY, version, yaml) if version in ("v2", "v2beta1") else None
    return None
