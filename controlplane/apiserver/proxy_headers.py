"""What changes in the headers of a proxied exchange. Pure."""

from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from multidict import CIMultiDict, CIMultiDictProxy

HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""RFC 9110 7.6.1: they speak of one connection."""
WEBSOCKET_HANDSHAKE = frozenset(
    {"sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "sec-websocket-protocol"}
)
IMPERSONATION = "impersonate-"
CREDENTIALS = frozenset({"authorization"})
"""They are for this server; a pod must not see them."""

Headers = CIMultiDictProxy[str]


def request_headers(headers: Headers, *, client: str, prefix: str, path: str) -> CIMultiDict[str]:
    """For the pod. `prefix` is the path of this proxy on this server, `path` what the pod is asked for."""
    sent = _end_to_end(headers, CREDENTIALS | WEBSOCKET_HANDSHAKE | {"expect"})
    before = headers.get("X-Forwarded-For")
    sent["X-Forwarded-For"] = f"{before}, {client}" if before else client
    sent["X-Forwarded-Host"] = headers.get("Host", "")
    sent["X-Forwarded-Proto"] = "https"
    sent["X-Forwarded-Uri"] = prefix + path
    return sent


def response_headers(headers: Headers, *, prefix: str, host: str) -> CIMultiDict[str]:
    """For the client; a redirect within the pod stays behind the proxy."""
    answered = _end_to_end(headers, frozenset())
    if "Location" in answered:
        answered["Location"] = relocated(answered["Location"], prefix=prefix, host=host)
    return answered


def relocated(location: str, *, prefix: str, host: str) -> str:
    """A Location of the pod as the client must follow it. Another host's is not the proxy's business."""
    url = urlsplit(location)
    if url.netloc and url.netloc != host:
        return location
    if not url.path.startswith("/"):
        return location
    path = url.path if f"{url.path}/".startswith(f"{prefix}/") else prefix + url.path
    return urlunsplit(("https" if url.netloc else "", url.netloc, path, url.query, url.fragment))


def _end_to_end(headers: Headers, dropped: frozenset[str]) -> CIMultiDict[str]:
    named = {name.strip().lower() for value in headers.getall("Connection", ()) for name in value.split(",")}
    gone = HOP_BY_HOP | dropped | named
    kept = ((name, value) for name, value in headers.items() if name.lower() not in gone)
    return CIMultiDict((name, value) for name, value in kept if not name.lower().startswith(IMPERSONATION))


def wants_websocket(headers: Mapping[str, str]) -> bool:
    return headers.get("Upgrade", "").lower() == "websocket"
