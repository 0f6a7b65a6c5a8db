"""Remembered clients whose endpoint is gone: read from the `affinity` map, decided here, deleted by proxy.py. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nodeagent.network.services.compile import Backend, Frontend
from nodeagent.network.services.ruleset import TABLE

LIST_AFFINITY = f"list map {TABLE} affinity"


@dataclass(frozen=True, slots=True)
class Remembered:
    client: str
    address: str
    protocol: str
    port: int
    backend: Backend

    @property
    def key(self) -> str:
        return f"{self.client} . {self.address} . {self.protocol} . {self.port}"


def parse_affinity(listing: str) -> list[Remembered]:
    """From what libnftables prints for LIST_AFFINITY as JSON."""
    entries = (item["map"].get("elem", []) for item in json.loads(listing)["nftables"] if "map" in item)
    return [_remembered(key, value) for found in entries for key, value in found]


def _remembered(key: dict[str, object], value: dict[str, list[object]]) -> Remembered:
    inner = key.get("elem", key)
    assert isinstance(inner, dict)
    concat = inner["val"]["concat"] if "val" in inner else inner["concat"]
    client, address, protocol, port = concat
    backend_address, backend_port = value["concat"]
    assert isinstance(backend_port, int)
    return Remembered(client, address, protocol, port, Backend(str(backend_address), backend_port))


def forget(
    remembered: Iterable[Remembered], changed: Iterable[Frontend], backends: Mapping[Frontend, frozenset[Backend]]
) -> str:
    """The nft command that deletes who was given a backend that `changed` frontends no longer have; may be empty."""
    watched = set(changed)
    gone = [entry.key for entry in remembered if _is_gone(entry, watched, backends)]
    return f"delete element {TABLE} affinity {{ {', '.join(gone)} }}\n" if gone else ""


def _is_gone(entry: Remembered, watched: set[Frontend], backends: Mapping[Frontend, frozenset[Backend]]) -> bool:
    frontend = Frontend(entry.address, entry.protocol, entry.port)
    if frontend not in backends and frontend not in watched:
        frontend = Frontend("", entry.protocol, entry.port)
    return frontend in watched and entry.backend not in backends.get(frontend, frozenset())
