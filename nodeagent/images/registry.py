"""Reads from a registry: the OCI distribution API (`GET /v2/...`), with basic and token authentication. No disk layout.

Everything that comes is checked against the digest it was asked by. Each failure is a PullFailed that names its cause:
no route, timeout, bad certificate, 401, 404, digest mismatch.
"""

import asyncio
import contextlib
import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import IO, TypeVar

import aiohttp
import structlog

from nodeagent.images.manifest import ACCEPTED, Descriptor, digest_of
from nodeagent.runtime.interface import PullFailed, RegistryAuth
from orch.oci import DEFAULT_REGISTRY, is_digest

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 10
SILENCE_MAX_S = 30
"""A registry that sends nothing for so long is given up."""
BYTES_PER_S_MIN = 8 * 1024
"""One that sends more slowly than this, on the whole, is given up too: a byte now and then is no silence."""
MANIFEST_BYTES_MAX = 4 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
RETRY_DELAYS_S = (0.5, 2.0)
"""Before each further try, when a registry is overloaded or breaks off."""
TOO_MANY_REQUESTS, SERVER_FAULTS_FROM = 429, 500
DOCKER_HUB_HOST = "registry-1.docker.io"

T = TypeVar("T")

_CHALLENGE_FIELD = re.compile(r'(\w+)="([^"]*)"')


class Interrupted(PullFailed):
    """The registry may answer when it is asked again."""


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """How to reach one registry. Empty files: the system's CAs, no client certificate."""

    host: str
    """As in image names, with the port."""
    plain_http: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def base_url(self) -> str:
        host = DOCKER_HUB_HOST if self.host == DEFAULT_REGISTRY else self.host
        return f"{'http' if self.plain_http else 'https'}://{host}"

    def tls(self) -> ssl.SSLContext:
        """Built anew for each pull, so that a renewed certificate counts. Raises OSError."""
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


class Repository:
    """One repository of one registry, over one HTTP session."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, name: str, auth: RegistryAuth | None) -> None:
        self._session, self._name, self._auth = session, name, auth
        self.registry = base_url
        self._url = f"{base_url}/v2/{name}"
        self._authorization = ""

    async def manifest(self, reference: str) -> bytes:
        """A manifest or an index, by tag or digest. Raises PullFailed."""
        return await _retried(lambda: self._manifest(reference))

    async def blob(self, blob: Descriptor) -> bytes:
        """A small blob: an image config. Raises PullFailed."""
        return await _retried(lambda: self._blob(blob))

    async def download(self, blob: Descriptor, path: str) -> None:
        """A blob of any size into a new file. Raises PullFailed, OSError."""
        await _retried(lambda: self._download(blob, path))

    async def _manifest(self, reference: str) -> bytes:
        async with self._get(f"{self._url}/manifests/{reference}", MANIFEST_BYTES_MAX) as response:
            body = await _read_at_most(response, MANIFEST_BYTES_MAX)
        if is_digest(reference) and digest_of(body) != reference:
            raise PullFailed(f"digest mismatch: asked for manifest {reference}, got {digest_of(body)}")
        return body

    async def _blob(self, blob: Descriptor) -> bytes:
        async with self._get(f"{self._url}/blobs/{blob.digest}", MANIFEST_BYTES_MAX) as response:
            body = await _read_at_most(response, MANIFEST_BYTES_MAX)
        if digest_of(body) != blob.digest:
            raise PullFailed(f"digest mismatch: asked for blob {blob.digest}, got {digest_of(body)}")
        return body

    async def _download(self, blob: Descriptor, path: str) -> None:
        sha256, size = hashlib.sha256(), 0
        async with self._get(f"{self._url}/blobs/{blob.digest}", blob.size) as response:
            with _new_file(path) as file:
                async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                    size += len(chunk)
                    if size > blob.size:
                        raise PullFailed(f"blob {blob.digest} is longer than the {blob.size} bytes it should have")
                    sha256.update(chunk)
                    file.write(chunk)
        if f"sha256:{sha256.hexdigest()}" != blob.digest:
            raise PullFailed(f"digest mismatch: asked for blob {blob.digest}, got sha256:{sha256.hexdigest()}")

    @contextlib.asynccontextmanager
    async def _get(self, url: str, size: int) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful answer, of about `size` bytes; authenticates once when the registry asks for it."""
        limit_s = CONNECT_TIMEOUT_S + SILENCE_MAX_S + size / BYTES_PER_S_MIN
        with _failures_named(f"no answer within {SILENCE_MAX_S} s, or not all of it within {limit_s:.0f} s"):
            async with asyncio.timeout(limit_s), self._answered(url) as response:
                yield response

    @contextlib.asynccontextmanager
    async def _answered(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        response = await self._request(url)
        if response.status == 401 and not self._authorization:
            challenge = response.headers.get("WWW-Authenticate", "")
            response.release()
            self._authorization = await self._answer(challenge)
            response = await self._request(url)
        async with response:
            self._check(response.status)
            yield response

    async def _request(self, url: str) -> aiohttp.ClientResponse:
        headers = {"Accept": ", ".join(ACCEPTED)}
        if self._authorization:
            headers["Authorization"] = self._authorization
        return await self._session.get(url, headers=headers)

    def _check(self, status: int) -> None:
        if status == TOO_MANY_REQUESTS or status >= SERVER_FAULTS_FROM:
            raise Interrupted(f"the registry answered {status}")
        if status != 200:
            raise PullFailed(_refusal(status, self._name, self._auth is not None))

    async def _answer(self, challenge: str) -> str:
        """The Authorization header that answers a WWW-Authenticate challenge."""
        basic = aiohttp.encode_basic_auth(self._auth.username, self._auth.password) if self._auth else ""
        scheme, _, parameters = challenge.partition(" ")
        if scheme.lower() != "bearer":
            return basic
        fields = dict(_CHALLENGE_FIELD.findall(parameters))
        query = {"service": fields.get("service", ""), "scope": f"repository:{self._name}:pull"}
        headers = {"Authorization": basic} if basic else {}
        async with self._session.get(fields.get("realm", ""), params=query, headers=headers) as response:
            self._check(response.status)
            token = await response.json()
        return f"Bearer {token.get('token') or token.get('access_token', '')}"


@contextlib.asynccontextmanager
async def open_repository(
    access: RegistryAccess, name: str, auth: RegistryAuth | None = None
) -> AsyncIterator[Repository]:
    """Raises PullFailed when the certificates cannot be loaded."""
    try:
        tls = access.tls()
    except OSError as error:
        raise PullFailed(f"cannot load the registry's certificates: {error}") from None
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_MAX_S)
    connector = aiohttp.TCPConnector(ssl=tls)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Repository(session, access.base_url(), name, auth)


async def _retried(work: Callable[[], Awaitable[T]]) -> T:
    for delay_s in RETRY_DELAYS_S:
        try:
            return await work()
        except Interrupted as error:
            log.info("registry_asked_again", error=str(error), retry_in_s=delay_s)
            await asyncio.sleep(delay_s)
    return await work()


def _new_file(path: str) -> IO[bytes]:
    return open(path, "wb")


async def _read_at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        body += chunk
        if len(body) > limit:
            raise PullFailed(f"the registry's answer is longer than {limit} bytes")
    return bytes(body)


@contextlib.contextmanager
def _failures_named(late: str) -> Iterator[None]:
    """`late`: what a timeout means."""
    try:
        yield
    except TimeoutError:
        raise PullFailed(f"timed out: {late}") from None
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
        raise PullFailed(f"TLS failed: {error}") from None
    except aiohttp.ClientConnectorError as error:
        raise PullFailed(f"no route: {error.os_error.strerror or error}") from None
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError) as error:
        if isinstance(error.__cause__, ssl.SSLError):
            raise PullFailed(f"TLS failed: {error}") from None
        raise Interrupted(f"the connection broke off: {type(error).__name__} {error}") from None
    except (aiohttp.ClientError, ValueError) as error:
        raise PullFailed(f"HTTP failed: {type(error).__name__} {error}") from None


def _refusal(status: int, repository: str, with_credentials: bool) -> str:
    if status in (401, 403):
        reason = "the credentials were refused" if with_credentials else "it wants credentials"
        return f"{status} unauthorized for {repository}: {reason}"
    if status == 404:
        return f"404 not found: {repository} or its tag"
    return f"the registry answered {status}"
