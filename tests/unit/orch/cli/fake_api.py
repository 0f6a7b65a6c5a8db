"""An API server of canned answers over plain HTTP, and the command line run against it in this process."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from orch.cli.main import main

Plain = dict[str, Any]
NOT_FOUND = {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found"}


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


Answer = Callable[[Asked], tuple[int, Any]]


@dataclass
class FakeApi:
    """`routes`: (method, path) -> answer; a list as an answer is sent as lines, for watches and logs."""

    url: str = ""
    routes: dict[tuple[str, str], Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    warning: str = ""

    def put(self, path: str, answer: Any, *, method: str = "GET", status: int = 200) -> None:
        self.routes[method, path] = lambda asked: (status, answer)

    def handle(self, asked: Asked) -> tuple[int, Any]:
        self.asked.append(asked)
        route = self.routes.get((asked.method, asked.path))
        return route(asked) if route else (404, NOT_FOUND | {"message": f"{asked.path} not found"})

    def changes(self) -> list[tuple[str, str, Any]]:
        """What was asked other than reads and dry runs."""
        return [(a.method, a.path, a.body) for a in self.asked if a.method != "GET" and a.query.get("dryRun") != "All"]


RESOURCES = {
    "/api/v1": [
        ("namespaces", "Namespace", False, ["ns"], []),
        ("pods", "Pod", True, ["po"], ["all"]),
        ("services", "Service", True, ["svc"], ["all"]),
        ("configmaps", "ConfigMap", True, ["cm"], []),
        ("nodes", "Node", False, ["no"], []),
        ("events", "Event", True, ["ev"], []),
        ("serviceaccounts", "ServiceAccount", True, ["sa"], []),
    ],
    "/apis/apps/v1": [
        ("deployments", "Deployment", True, ["deploy"], ["all"]),
        ("replicasets", "ReplicaSet", True, ["rs"], ["all"]),
    ],
    "/apis/discovery.k8s.io/v1": [("endpointslices", "EndpointSlice", True, [], [])],
}


def resource_list(path: str) -> Plain:
    return {
        "kind": "APIResourceList",
        "resources": [
            {
                "name": plural, "kind": kind, "namespaced": namespaced, "singularName": kind.lower(),
                "shortNames": short_names, "categories": categories, "verbs": ["get", "list"],
            }
            for plural, kind, namespaced, short_names, categories in RESOURCES[path]
        ] + [{"name": "pods/log", "kind": "Pod", "namespaced": True, "verbs": ["get"]}],
    }  # fmt: skip


def add_discovery(api: FakeApi) -> None:
    groups = [path.split("/")[2:] for path in RESOURCES if path.startswith("/apis")]
    listed = [
        {"name": name, "versions": [{"groupVersion": f"{name}/{version}", "version": version}]}
        for name, version in groups
    ]
    api.put("/apis", {"kind": "APIGroupList", "groups": listed})
    for path in RESOURCES:
        api.put(path, resource_list(path))


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@dataclass
class Cli:
    api: FakeApi
    capture: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> Outcome:
        code = main(arguments)
        said = self.capture.readouterr()
        return Outcome(code, said.out, said.err)


def write_kubeconfig(folder: Path, url: str) -> Path:
    path = folder / "kubeconfig"
    config = {
        "current-context": "fake",
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "fake", "user": {"token": "secret"}}],
    }
    path.write_text(json.dumps(config))
    return path


def serve(api: FakeApi) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(ConnectionError):  # a client may have read enough
                super().handle()

        def answer(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            asked = Asked(self.command, url.path, dict(parse_qsl(url.query)), body, dict(self.headers))
            status, plain = api.handle(asked)
            lines = [item.encode() for item in plain] if isinstance(plain, list) else [json.dumps(plain).encode()]
            data = b"".join(lines)
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if api.warning:
                self.send_header("Warning", f'299 - "{api.warning}"')
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


def table(rows: list[list[Any]], *names: str, wide: tuple[str, ...] = ()) -> Plain:
    """A meta/v1 Table; each row's object is named by its first cell."""
    columns = [{"name": name, "priority": 0} for name in names] + [{"name": name, "priority": 1} for name in wide]
    return {
        "kind": "Table",
        "metadata": {"resourceVersion": "7"},
        "columnDefinitions": columns,
        "rows": [
            {"cells": row, "object": {"metadata": {"name": row[0], "namespace": "default", "labels": {"app": "web"}}}}
            for row in rows
        ],
    }
