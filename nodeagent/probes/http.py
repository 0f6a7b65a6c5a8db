"""An HTTP GET that asks for nothing but the status, as httpGet probes need it.

By kubelet's rules (pkg/probe/http): 200 to 399 is healthy, certificates are not verified, a redirect is followed on the
same host only, and one that leads elsewhere is healthy. Raises OSError or HttpFault; the caller bounds the time.
"""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from orch.errors import OrchError

REDIRECTS_MAX = 10
HEAD_BYTES_MAX = 64 * 1024
USER_AGENT = "kube-probe/1.34"
"""What servers and log filters already know probes by."""
_PORTS = {"http": 80, "https": 443}


class HttpFault(OrchError):
    """The answer is no HTTP, or leads nowhere."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    location: str


def unverified_tls() -> ssl.SSLContext:
    """Made by hand: the default context loads the authorities of the whole web, 2.5 MB that nobody asks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def get_status(url: str, headers: Iterable[tuple[str, str]], tls: ssl.SSLContext) -> int:
    """The status of the last answer; a redirect to another host counts as that redirect's own status."""
    kept = tuple(headers)
    for _ in range(REDIRECTS_MAX + 1):
        reply = await _get(url, kept, tls)
        if not (300 <= reply.status < 400 and reply.location):
            return reply.status
        target = urljoin(url, reply.location)
        if urlsplit(target).hostname != urlsplit(url).hostname or urlsplit(target).scheme not in _PORTS:
            return reply.status
        url = target
    raise HttpFault(f"stopped after {REDIRECTS_MAX} redirects")


async def _get(url: str, headers: tuple[tuple[str, str], ...], tls: ssl.SSLContext) -> Reply:
    parts = urlsplit(url)
    port = parts.port or _PORTS[parts.scheme]
    context = tls if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context, limit=HEAD_BYTES_MAX)
    try:
        writer.write(_request(parts.netloc, parts.path or "/", parts.query, headers))
        return _parse(await reader.readuntil(b"\r\n\r\n"))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise HttpFault("the server closed without an HTTP answer") from error
    finally:
        writer.close()


def _request(host: str, path: str, query: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    given = {name.lower() for name, _ in headers}
    defaults = (("Host", host), ("User-Agent", USER_AGENT), ("Accept", "*/*"), ("Connection", "close"))
    lines = [f"GET {path}{'?' + query if query else ''} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in defaults if name.lower() not in given]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", errors="replace")


def _parse(head: bytes) -> Reply:
    status_line, *fields = head.decode("latin-1").split("\r\n")
    words = status_line.split(" ", 2)
    if not words[0].startswith("HTTP/") or len(words) < 2 or not words[1].isdecimal():
        raise HttpFault(f"the server answered {status_line[:80]!r}, which is no HTTP")
    location = next((field.partition(":")[2] for field in fields if field.lower().startswith("location:")), "")
    return Reply(int(words[1]), location.strip())
