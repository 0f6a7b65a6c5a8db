"""An image registry in threads of this process, for agents in network namespaces: it answers well, or in one of several
bad manners, as `manner` says at that moment."""

import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tests.images import blobs, digest
from tests.integration.netlab import Netns

GOOD, HANGS, STALLS, ALTERS = "good", "hangs", "stalls", "alters"
"""HANGS: no request is answered. STALLS: layers come to their middle and no further. ALTERS: layers have other bytes
than their digest says."""
HELD_S = 0.1


class Registry:
    """Images by repository, all with the tag 1. `asked` counts requests by path."""

    def __init__(self, listener: socket.socket) -> None:
        self.manner = GOOD
        self.asked: Counter[str] = Counter()
        self.address = "{}:{}".format(*listener.getsockname())
        self._manifests: dict[str, bytes] = {}
        self._layers: dict[str, bytes] = {}
        self._configs: dict[str, bytes] = {}
        self._closed = False
        self._server = ThreadingHTTPServer(listener.getsockname(), self._handler(), bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listener
        self._server.daemon_threads = True

    def serve_image(self, repository: str, layers: Sequence[bytes], *, cut: bool = False, **config: object) -> str:
        """The name to pull. `cut`: the archives lack their ends, and the manifest names them so."""
        manifest, contents = blobs(layers, **config)
        if cut:
            manifest, contents = _cut(manifest, contents)
        self._manifests |= {f"{repository}/1": manifest, f"{repository}/{digest(manifest)}": manifest}
        of_layers = {digest(body): body for body in contents.values() if body[:2] == b"\x1f\x8b"}
        self._layers |= of_layers
        self._configs |= {name: body for name, body in contents.items() if name not in of_layers}
        return f"{self.address}/{repository}:1"

    def run(self) -> None:
        self._server.serve_forever(HELD_S)

    def close(self) -> None:
        self._closed = True
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        return Handler

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path, manner = request.path, self.manner
        self.asked[path] += 1
        if manner == HANGS:
            self._hold(manner)
            return
        repository, kind, reference = path.removeprefix("/v2/").rsplit("/", 2)
        if kind == "manifests":
            body = self._manifests.get(f"{repository}/{reference}", b"")
        else:
            body = self._layers.get(reference) or self._configs.get(reference, b"")
        self._send(request, body, manner if reference in self._layers else GOOD)

    def _send(self, request: BaseHTTPRequestHandler, body: bytes, manner: str) -> None:
        if manner == ALTERS:
            body = body[:-1] + bytes([body[-1] ^ 1])
        request.send_response(200 if body else 404)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) // 2] if manner == STALLS else body)
        request.wfile.flush()
        if manner == STALLS:
            self._hold(manner)

    def _hold(self, manner: str) -> None:
        """For as long as the registry is in this manner: then the connection ends."""
        while self.manner == manner and not self._closed:
            time.sleep(HELD_S)


@contextmanager
def registry_in(netns: Netns, address: str, port: int) -> Iterator[Registry]:
    def listen() -> socket.socket:
        return socket.create_server((address, port), backlog=100)

    registry = Registry(netns.call(listen))
    serving = Thread(target=registry.run, daemon=True)
    serving.start()
    try:
        yield registry
    finally:
        registry.close()
        serving.join()


def _cut(manifest: bytes, contents: dict[str, bytes]) -> tuple[bytes, dict[str, bytes]]:
    made = {}
    for name, body in contents.items():
        half = body[: len(body) // 2] if body[:2] == b"\x1f\x8b" else body
        manifest = manifest.replace(name.encode(), digest(half).encode())
        if half != body:
            manifest = manifest.replace(b'"size": %d' % len(body), b'"size": %d' % len(half))
        made[digest(half)] = half
    return manifest, made
