"""Random requests against the real chain, made from its own OpenAPI document and then spoiled.

Whatever is sent: no answer is a 500, every refusal is a Status body with the code of the answer, and what was
acknowledged is there: the next read finds that very revision, or nothing after a delete.
"""

import asyncio
import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from controlplane.apiserver.openapi.v2 import v2_document
from controlplane.apiserver.protobuf import MAGIC, PROTOBUF_TYPE
from orch.api.kinds import builtin_kinds
from orch.client.http import tls_context
from tests.apiserver import RunningServer, memory_server

EXAMPLES = 1500
"""About 12 s."""
DOCUMENT = v2_document(builtin_kinds())
DEFINITIONS = DOCUMENT["definitions"]
LATE = {503, 504}
"""No node has a session, and a revision may lie in the future."""
DEPTH_MAX = 6
SUBRESOURCE = re.compile(r"(?<=/[abc])/[a-z]+$")

CONTAINER = {"name": "app", "image": "app:1"}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [CONTAINER]}}
SPECS: dict[str, dict[str, Any]] = {
    "Pod": {"spec": TEMPLATE["spec"]},
    "Service": {"spec": {"ports": [{"port": 80}]}},
    "ConfigMap": {"data": {"a": "1"}},
    "Secret": {"stringData": {"a": "1"}},
    "Lease": {"spec": {"holderIdentity": "me"}},
    "EndpointSlice": {"addressType": "IPv4", "endpoints": [], "ports": []},
    "StorageClass": {"provisioner": "example.com/disk"},
    "PriorityClass": {"value": 5},
    **{
        kind: {"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE}}
        for kind in ("Deployment", "ReplicaSet", "DaemonSet", "StatefulSet")
    },
}
"""What makes an object of the kind valid beside its metadata; other kinds need nothing."""


@dataclass
class Server:
    """The API server in a thread with a loop of its own, asked over one connection."""

    running: RunningServer
    _connection: http.client.HTTPSConnection = field(init=False)

    def __post_init__(self) -> None:
        access = self.running.access
        address = access.server.removeprefix("https://")
        self._connection = http.client.HTTPSConnection(address, context=tls_context(access), timeout=30)

    def ask(self, method: str, path: str, body: bytes | None = None, media: str = "") -> tuple[int, bytes]:
        self._connection.request(method, path, body, {"Content-Type": media} if media else {})
        response = self._connection.getresponse()
        return response.status, response.read()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory, started = tmp_path_factory.mktemp("fuzz"), Future[tuple[RunningServer, Callable[[], object]]]()

    async def serve() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        async with memory_server(directory) as running:
            started.set_result((running, lambda: loop.call_soon_threadsafe(ended.set)))
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    running, end = started.result(30)
    server = Server(running)
    yield server
    server.close()
    end()
    thread.join(30)


TEXTS = st.sampled_from(
    [
        "",
        "a",
        "b",
        "web",
        "A_B",
        "a" * 300,
        "-",
        "1",
        "0",
        "true",
        "10Gi",
        "80",
        "x/y",
        "example.com/a",
        "\0",
        "é",
        "a=b",
    ]
)
NUMBERS = st.sampled_from([0, 1, -1, 80, 2**31, 2**63, -(2**63) - 1, 10**30, 1.5])
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
OPERATIONS = [
    (method.upper(), path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
]

WRITES = [
    (method, path, operation)
    for method, path, operation in OPERATIONS
    if operation["x-kubernetes-group-version-kind"]["kind"] in SPECS
    and path.endswith(("s", "{name}"))
    and (method != "GET" and operation["x-kubernetes-action"] != "deletecollection")
]


def from_schema(draw: st.DrawFn, schema: dict[str, Any], depth: int = 0) -> Any:
    """A value as the schema says, a few of its properties set; now and then anything."""
    if draw(st.integers(0, 15)) == 0 or depth > DEPTH_MAX:
        return draw(JUNK)
    if "$ref" in schema:
        return from_schema(draw, DEFINITIONS[schema["$ref"].rpartition("/")[2]], depth)
    match schema.get("type"):
        case "object" if schema.get("properties"):
            names = draw(st.lists(st.sampled_from(sorted(schema["properties"])), max_size=3))
            wanted = {*names, *schema.get("required", ())}
            return {name: from_schema(draw, schema["properties"][name], depth + 1) for name in sorted(wanted)}
        case "object":
            inner = schema.get("additionalProperties", {})
            return {draw(TEXTS): from_schema(draw, inner, depth + 1) for _ in range(draw(st.integers(0, 2)))}
        case "array":
            return [from_schema(draw, schema["items"], depth + 1) for _ in range(draw(st.integers(0, 2)))]
        case "integer":
            return draw(NUMBERS)
        case "boolean":
            return draw(st.booleans())
    return draw(TEXTS)


def spoiled(draw: st.DrawFn, plain: Any, kind: str, name: str) -> Any:
    """A valid object, mostly with one part of it replaced or added."""
    metadata: dict[str, Any] = {"name": name} if name else {"generateName": "g-"}
    obj = json.loads(json.dumps({"metadata": metadata, **SPECS.get(kind, {})}))
    at: Any = obj
    for _ in range(draw(st.integers(0, 3))):
        inner = [value for value in (at.values() if isinstance(at, dict) else at) if isinstance(value, dict | list)]
        if not inner:
            break
        at = draw(st.sampled_from(inner))
    if draw(st.booleans()) and isinstance(at, dict):
        key = draw(st.sampled_from([*at, *plain]) if at or plain else TEXTS)
        at[key] = plain.get(key, draw(JUNK))
    return obj


@st.composite
def bodies(draw: st.DrawFn, method: str, operation: dict[str, Any], name: str) -> tuple[bytes | None, str]:
    """Body and media type."""
    schema = next((each["schema"] for each in operation["parameters"] if each["in"] == "body"), None)
    if schema is None or (method == "DELETE" and draw(st.booleans())):
        return None, ""
    kind = operation["x-kubernetes-group-version-kind"]["kind"]
    if method == "PATCH":
        media = draw(st.sampled_from(operation["consumes"]))
        patch = (
            draw(patches(kind)) if media.endswith("json-patch+json") else spoiled(draw, draw(objects(kind)), kind, name)
        )
        return json.dumps(patch).encode(), media
    generated = from_schema(draw, schema)
    plain = generated if isinstance(generated, dict) else {}
    valid = method in ("POST", "PUT") and draw(st.integers(0, 3)) > 0
    text = json.dumps(
        spoiled(draw, plain, kind, draw(st.sampled_from([name, name, name, ""]))) if valid else generated
    ).encode()
    cut = draw(st.integers(0, 40)) == 0
    media = draw(
        st.sampled_from(["application/json"] * 12 + ["application/yaml", "application/vnd.kubernetes.protobuf", "x"])
    )
    return text[: len(text) // 2] if cut else text, media


@st.composite
def objects(draw: st.DrawFn, kind: str) -> Any:
    found = [name for name in DEFINITIONS if name.endswith(f".{kind}")]
    generated = from_schema(draw, DEFINITIONS[found[0]]) if found else draw(JUNK)
    return generated if isinstance(generated, dict) else {}


@st.composite
def patches(draw: st.DrawFn, kind: str) -> Any:
    """RFC 6902, more or less."""
    pointers = [
        "",
        "/",
        "/metadata/labels",
        "/metadata/labels/a",
        "/spec/replicas",
        "/spec",
        "/data/a",
        "/kind",
        "/-",
        "x",
    ]
    return [
        {
            "op": draw(st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "bad"])),
            "path": draw(st.sampled_from(pointers)),
            **({"value": draw(JUNK)} if draw(st.booleans()) else {}),
            **({"from": draw(st.sampled_from(pointers))} if draw(st.booleans()) else {}),
        }
        for _ in range(draw(st.integers(0, 2)))
    ]


VALUES = {
    "resourceVersion": st.sampled_from(["", "0", "1", "x", "-1", "9" * 30]),
    "resourceVersionMatch": st.sampled_from(["Exact", "NotOlderThan", "x"]),
    "limit": st.sampled_from(["0", "1", "2", "-1", "x", "9" * 25]),
    "continue": st.sampled_from(["x", "", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYS9iIn0"]),
    "labelSelector": st.sampled_from(["a=b", "a in (b)", "!a", "a==", "(", "a notin ()", ",", "\0"]),
    "fieldSelector": st.sampled_from(["metadata.name=a", "x=y", "metadata.name!=a", "=", "\\", "status.phase=x"]),
    "timeoutSeconds": st.sampled_from(["1", "x", "-1"]),
    "dryRun": st.sampled_from(["All", "All", "x"]),
    "fieldValidation": st.sampled_from(["Strict", "Ignore", "Warn", "x"]),
    "propagationPolicy": st.sampled_from(["Foreground", "Background", "Orphan", "x"]),
    "gracePeriodSeconds": st.sampled_from(["0", "1", "-5", "x", "9" * 19]),
}


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, bytes | None, str]:
    """Method, path with query, body and its media type: mostly writes of kinds that can be made, where they are."""
    method, path, operation = draw(st.sampled_from(WRITES if draw(st.integers(0, 3)) else OPERATIONS))
    name = draw(st.sampled_from(["a", "b", "c"]))
    odd = draw(st.integers(0, 9)) == 0
    places = {
        "{namespace}": draw(st.sampled_from(["none", "é", "kube-system"])) if odd else "default",
        "{name}": draw(st.sampled_from(["..%2f", "A_", "zz"])) if odd else name,
        "{path}": name,
    }
    for parameter, value in places.items():
        path = path.replace(parameter, quote(value))
    known = [each["name"] for each in operation["parameters"] if each["in"] == "query" and each["name"] != "watch"]
    chosen = draw(st.lists(st.sampled_from(known), max_size=2)) if known and draw(st.integers(0, 2)) == 0 else []
    query = {parameter: draw(VALUES.get(parameter, TEXTS)) for parameter in chosen}
    body, media = draw(bodies(method, operation, name))
    return method, f"{path}?{urlencode(query)}" if query else path, body, media


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(request=requests())
def test_no_request_makes_a_500_or_loses_a_write(server: Server, request: tuple[str, str, bytes | None, str]) -> None:
    method, path, body, media = request
    code, answer = server.ask(method, path, body, media)
    event(f"{method} {code}")
    assert code < 500 or code in LATE, (request, answer)
    if code >= 400 and method != "HEAD":
        assert json.loads(answer)["code"] == code, (request, answer)
    elif (
        code < 300
        and method not in ("GET", "HEAD", "OPTIONS")
        and "dryRun" not in path
        and b"dryRun" not in (body or b"")
    ):
        check_kept(server, method, path, json.loads(answer))


PORTS = st.sampled_from(["", "80", "0", "x", "²", "٣", "-1", "65536", "1" * 4400]) | st.text(max_size=4)


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(plural=st.sampled_from(["pods", "services"]), scheme=st.sampled_from(["", "http:", "x:"]), port=PORTS)
def test_no_name_of_a_proxy_makes_a_500(server: Server, plural: str, scheme: str, port: str) -> None:
    make_named(server)
    name = quote(f"{scheme}web:{port}", safe="")
    code, answer = server.ask("GET", f"/api/v1/namespaces/default/{plural}/{name}/proxy/x")
    assert code < 500 or code in LATE, (name, answer)


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(kind=st.sampled_from(["Pod", "ConfigMap"]), raw=st.binary(max_size=60))
def test_no_protobuf_makes_a_500(server: Server, kind: str, raw: bytes) -> None:
    body = MAGIC + b"\x0a" + bytes([len(kind) + 6]) + b"\x0a\x02v1\x12" + bytes([len(kind)]) + kind.encode()
    body += b"\x12" + bytes([len(raw)]) + raw
    code, answer = server.ask("POST", f"/api/v1/namespaces/default/{kind.lower()}s", body, PROTOBUF_TYPE)
    assert code < 500, (body, answer)


def make_named(server: Server) -> None:
    """A pod and a service that the names of proxies may mean."""
    for plural, kind in (("pods", "Pod"), ("services", "Service")):
        made = json.dumps({"metadata": {"name": "web"}, **SPECS[kind]}).encode()
        assert server.ask("POST", f"/api/v1/namespaces/default/{plural}", made, "application/json")[0] in (201, 409)


def check_kept(server: Server, method: str, path: str, answered: dict[str, Any]) -> None:
    """Reads back what a write has acknowledged."""
    item = SUBRESOURCE.sub("", path.partition("?")[0])
    if answered["kind"] == "Status":
        if method == "DELETE":
            assert server.ask("GET", item)[0] == 404
        return
    if answered["kind"].endswith("List") or "uid" not in answered["metadata"]:
        return
    if method == "POST":
        item = f"{item}/{answered['metadata']['name']}"
    code, found = server.ask("GET", item)
    if method == "DELETE" and code == 404:
        return
    if code == 404 and answered["metadata"].get("deletionTimestamp"):
        return
    assert code == 200, (method, path, answered, found)
    assert json.loads(found)["metadata"]["resourceVersion"] == answered["metadata"]["resourceVersion"]
