"""Which resources a server has, by every name a person may use for them: pods, pod, po, deployments.apps, all.

Asked from the server (/api/v1, /apis/...) and kept in a small file per server, so that a short name costs no round
trip. The server is asked again when the file is old, or when a name is not in it.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from orch.cli.connection import Connection
from orch.cli.failures import CliError
from orch.errors import NotFound
from orch.kit.files import write_atomic

CACHE_DIR = Path("~/.orch/cache")
CACHE_AGE_MAX_S = 600


class Resource(NamedTuple):
    """One served resource (meta/v1 APIResource)."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`pod`, `deployment.apps`: how results name the type."""
        singular = self.singular or self.kind.lower()
        return f"{singular}.{self.group}" if self.group else singular

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return root + scope + "".join(f"/{part}" for part in (self.plural, name, subresource) if part)

    def names(self) -> Iterator[str]:
        plain = (self.plural, self.singular or self.kind.lower(), *self.short_names)
        for name in plain:
            yield name
            if self.group:
                yield f"{name}.{self.group}"
                yield f"{name}.{self.version}.{self.group}"


class Discovery:
    def __init__(self, connection: Connection, cache_dir: Path | None = None) -> None:
        self._connection = connection
        access = connection.access
        identity = re.sub(r"[^\w.]+", "_", access.server.split("://")[-1])
        folder = cache_dir or CACHE_DIR.expanduser()
        self._cache = folder / f"{identity}-{zlib.crc32(access.ca_pem):08x}.json"
        self._resources: list[Resource] = []
        self._fresh = False

    def named(self, name: str) -> list[Resource]:
        """The resource of that name, or all of that category. Raises CliError for an unknown name."""
        wanted = name.lower()
        found = self._search(lambda resources: by_name(resources, wanted))
        if not found:
            raise CliError(f"the server has no resource type \"{name}\": 'orch api-resources' lists them")
        return found

    def of_kind(self, api_version: str, kind: str) -> Resource:
        """Raises CliError, which says what is served there instead."""
        found = self._search(lambda all_: [r for r in all_ if (r.api_version, r.kind) == (api_version, kind)])
        if found:
            return found[0]
        elsewhere = sorted({r.api_version for r in self._resources if r.kind == kind})
        there = sorted({r.kind for r in self._resources if r.api_version == api_version})
        if elsewhere:
            raise CliError(f'no kind "{kind}" in {api_version}: use apiVersion {" or ".join(elsewhere)}')
        known = f"known there: {', '.join(there)}" if there else "the server does not have that apiVersion"
        raise CliError(f'no kind "{kind}" in {api_version}: {known}')

    def all(self) -> list[Resource]:
        return self._search(lambda resources: resources)

    def _search(self, select: Callable[[list[Resource]], list[Resource]]) -> list[Resource]:
        if not self._resources:
            self._resources = self._read_cache()
        found = select(self._resources)
        if found or self._fresh:
            return found
        self._resources, self._fresh = self._ask(), True
        self._write_cache()
        return select(self._resources)

    def _read_cache(self) -> list[Resource]:
        try:
            age_s = datetime.now(UTC).timestamp() - self._cache.stat().st_mtime
            return _decode(self._cache.read_text()) if age_s < CACHE_AGE_MAX_S else []
        except (OSError, ValueError, TypeError):
            return []

    def _write_cache(self) -> None:
        """A cache that cannot be written (no home, full disk) only makes the next call slower."""
        try:
            self._cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(self._cache, json.dumps([r._asdict() for r in self._resources]).encode())
        except OSError:
            return

    def _ask(self) -> list[Resource]:
        found = list(self._ask_version("/api/v1", "", "v1"))
        for group in self._connection.get("/apis").get("groups", ()):
            for version in group.get("versions", ()):
                found += self._ask_version(f"/apis/{version['groupVersion']}", group["name"], version["version"])
        return found

    def _ask_version(self, path: str, group: str, version: str) -> Iterable[Resource]:
        try:
            listed = self._connection.get(path).get("resources", ())
        except NotFound:
            return []
        return [
            Resource(
                group, version, r["name"], r["kind"], r["namespaced"], r.get("singularName", ""),
                tuple(r.get("shortNames", ())), tuple(r.get("categories", ())),
            )
            for r in listed
            if "/" not in r["name"] and "get" in r.get("verbs", ())
        ]  # fmt: skip


def _decode(text: str) -> list[Resource]:
    rows = json.loads(text)
    return [Resource(**row | {key: tuple(row[key]) for key in ("short_names", "categories")}) for row in rows]


def by_name(resources: list[Resource], wanted: str) -> list[Resource]:
    """One resource (the first group and version that has it), or every resource of a category in its first version."""
    for resource in resources:
        if wanted in resource.names():
            return [resource]
    of_category = [resource for resource in resources if wanted in resource.categories]
    preferred = {(resource.group, resource.plural): resource for resource in reversed(of_category)}
    return [resource for resource in of_category if preferred[resource.group, resource.plural] is resource]
