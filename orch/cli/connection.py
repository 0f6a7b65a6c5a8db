"""HTTPS to one API server with little more than sockets: requests, and streams that are read line by line.

One kept connection for requests and one of its own for each stream. Raises ApiError for what the server refuses and
CliError when there is no answer. Warnings that the server sends (header 299) go to stderr, each once.
"""

import json
import re
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from orch.cli.failures import CliError, Exit
from orch.cli.http1 import Disconnected, HttpConnection, Response
from orch.errors import from_status
from orch.kit.tls import load_client_certificate
from orch.kubeconfig import Access

REQUEST_TIMEOUT_S = 60.0
USER_AGENT = "orch/0.1"
JSON = "application/json"
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')

Query = Mapping[str, str]


class Connection:
    """`base` is a path before every request's (a kubeconfig's server may have one)."""

    def __init__(self, access: Access) -> None:
        self.access = access
        url = urlsplit(access.server)
        if url.scheme not in ("https", "http") or not url.hostname:
            raise CliError(f"context {access.context}: server {access.server!r} is no https:// address")
        self._host = url.hostname
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._base = url.path.rstrip("/")
        self._tls = tls_context(access) if url.scheme == "https" else None
        self._kept: HttpConnection | None = None
        self._warned: set[str] = set()

    def get(self, path: str, query: Query | None = None, *, accept: str = JSON) -> Any:
        return self.request("GET", path, query, accept=accept)

    def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        *,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Any:
        """Plain data of the answer. Raises ApiError, CliError."""
        data = None if body is None else json.dumps(body).encode()
        headers = self.headers(accept) | ({"Content-Type": content_type} if data is not None else {})
        response, answer = self._exchange(method, self.target(path, query), headers, data)
        self._show_warnings(response)
        if response.status >= 400:
            raise _error(response.status, answer)
        return json.loads(answer)

    def lines(self, path: str, query: Query | None = None, *, accept: str = JSON) -> Iterator[bytes]:
        """Lines of an answer as they arrive, for watches and logs; no time limit."""
        connection = self._open(timeout=None)
        try:
            response = connection.request("GET", self.target(path, query), self.headers(accept))
            self._show_warnings(response)
            if response.status >= 400:
                raise _error(response.status, response.body.read())
            while line := response.body.readline():
                yield line
        except OSError as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def socket(self, timeout: float | None = REQUEST_TIMEOUT_S) -> socket.socket:
        """A new connected (TLS) socket; also for protocols that begin with an HTTP upgrade.

        Names go as bytes: as text they would pass through the IDNA codec, which takes longer to load than to connect.
        """
        try:
            plain = socket.create_connection((self._host.encode(), self._port), timeout=timeout)  # type: ignore[arg-type]
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is None:
                return plain
            try:
                return self._tls.wrap_socket(plain, server_hostname=self._server_name)
            except OSError:
                plain.close()
                raise
        except OSError as error:
            raise self._unreachable(error) from error

    def target(self, path: str, query: Query | list[tuple[str, str]] | None) -> str:
        return self._base + path + (f"?{urlencode(query)}" if query else "")

    def headers(self, accept: str = JSON) -> dict[str, str]:
        host = f"[{self._host}]" if ":" in self._host else self._host
        headers = {"Host": f"{host}:{self._port}", "Accept": accept, "User-Agent": USER_AGENT}
        return headers | ({"Authorization": f"Bearer {self.access.token}"} if self.access.token else {})

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    @property
    def _server_name(self) -> bytes:
        return (self.access.tls_server_name or self._host).encode()

    def _exchange(
        self, method: str, target: str, headers: dict[str, str], data: bytes | None
    ) -> tuple[Response, bytes]:
        """On a kept connection that the server has closed meanwhile, tries once more on a new one."""
        kept = self._kept is not None
        try:
            return self._exchange_once(method, target, headers, data)
        except Disconnected as error:
            if not kept:
                raise self._unreachable(error) from error
            return self._exchange_once(method, target, headers, data)
        except OSError as error:
            raise self._unreachable(error) from error

    def _exchange_once(
        self, method: str, target: str, headers: dict[str, str], data: bytes | None
    ) -> tuple[Response, bytes]:
        connection = self._kept = self._kept or self._open(timeout=REQUEST_TIMEOUT_S)
        try:
            response = connection.request(method, target, headers, data)
            answer = response.body.read()
        except OSError:
            self.close()
            raise
        if not response.keep_alive:
            self.close()
        return response, answer

    def _open(self, timeout: float | None) -> HttpConnection:
        return HttpConnection(self.socket(timeout))

    def _show_warnings(self, response: Response) -> None:
        for header in response.headers.all("Warning"):
            for text in _WARNING.findall(header):
                if text not in self._warned:
                    self._warned.add(text)
                    print(f"Warning: {text.replace(chr(92) + chr(34), chr(34))}", file=sys.stderr)

    def _unreachable(self, error: Exception) -> CliError:
        what = getattr(error, "verify_message", "") or getattr(error, "strerror", "") or str(error)
        advice = "is the cluster up ('orch cluster status'), and is this the right kubeconfig?"
        return CliError(f"{self.access.server}: no answer: {what}: {advice}", Exit.UNREACHABLE)


def tls_context(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=access.ca_pem.decode() or None)
    if not access.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if access.cert_pem:
        _load_certificate(context, access)
    return context


def _load_certificate(context: ssl.SSLContext, access: Access) -> None:
    try:
        load_client_certificate(context, access.cert_pem, access.key_pem)
    except ssl.SSLError as error:
        raise CliError(f"context {access.context}: the client certificate or key is no good: {error}") from error


def _error(status: int, answer: bytes) -> Exception:
    try:
        plain = json.loads(answer)
    except ValueError:
        plain = None
    if isinstance(plain, dict) and plain.get("kind") == "Status":
        return from_status(plain)
    return CliError(f"the server answered {status}: {answer[:200].decode(errors='replace')!r}")
