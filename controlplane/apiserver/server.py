"""The API server: HTTPS in front of the `Api` chain.

Per request: authenticate, split the path, find the kind, call one handler. Nothing here decides about objects or
permissions. Every answer that is no stream is either a handler's response or a Status body made from an `ApiError`.
"""

import asyncio
import ssl
from collections.abc import Mapping

import structlog
from aiohttp import web
from aiohttp.web import BaseRequest, StreamResponse

from controlplane.apiserver.authn import TokenAuthenticator, authenticate
from controlplane.apiserver.health import HEALTH_PATHS, Check, health, version
from controlplane.apiserver.impersonation import as_asked
from controlplane.apiserver.negotiation import PLAIN, negotiate
from controlplane.apiserver.nonresource import Document, NonResources
from controlplane.apiserver.paths import PROXY, parse_resource, segments
from controlplane.apiserver.query import NO_QUERY, Query
from controlplane.apiserver.resources import Resources
from controlplane.apiserver.responses import error_response, prettified
from controlplane.apiserver.settings import ServerSettings, TlsFiles
from controlplane.apiserver.streams import NodeStreams
from controlplane.registry.interface import Api, RequestContext
from controlplane.store.backend import StoreError, StoreUnavailable
from orch.api.kind import KindTable
from orch.errors import ApiError, BadRequest, InternalError, ServiceUnavailable, Timeout
from orch.kit.clock import Clock
from orch.kit.ids import Ids

log = structlog.get_logger(__name__)


class ApiServer:
    """`serve()` runs until it is cancelled; `started` is set when all addresses listen."""

    def __init__(
        self,
        *,
        api: Api,
        kinds: KindTable,
        streams: NodeStreams,
        clock: Clock,
        ids: Ids,
        settings: ServerSettings,
        token_user: TokenAuthenticator,
        documents: Mapping[str, Document],
        checks: Mapping[str, Check],
    ) -> None:
        """`checks` are what /readyz and /healthz ask, `documents` what is served as it is, by path."""
        self.started = asyncio.Event()
        self.addresses: list[tuple[str, int]] = []
        self._server: web.Server | None = None
        self._api = api
        self._settings = settings
        self._token_user = token_user
        self._checks = checks
        self._request_prefix = ids.uid()[:13]
        self._requests = 0
        self._resources = Resources(api, kinds, streams, clock, ids, settings)
        self._non_resources = NonResources(api, kinds, documents)

    async def serve(self) -> None:
        server = self._server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=self._settings.shutdown_timeout_s)
        await runner.setup()
        try:
            await self._listen(runner)
            await self._resources.deadlines.run()
        finally:
            self._resources.watches.end_all()
            transports = [connection.transport for connection in server.connections]
            await runner.cleanup()
            for transport in transports:
                if transport is not None:
                    transport.abort()  # an idle client would let the TLS close wait for 30 s
            await asyncio.sleep(0)  # an aborted connection is closed by the loop's next turn

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._server.connections) if self._server is not None else 0

    async def _listen(self, runner: web.ServerRunner) -> None:
        context = server_tls(self._settings.tls)
        for address in self._settings.bind_addresses:
            await web.TCPSite(runner, address, self._settings.port, ssl_context=context).start()
        self.addresses = [(address[0], address[1]) for address in runner.addresses]
        log.info("apiserver_listening", addresses=self.addresses)
        self.started.set()

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        warnings: list[str] = []
        try:
            return await self._answer(request, warnings)
        except ApiError as error:
            return error_response(error, warnings)
        except StoreUnavailable as error:
            return error_response(ServiceUnavailable(f"the store is not available: {error}", retry_after_s=1))
        except StoreError as error:
            return error_response(InternalError(f"the store failed: {error}"))
        except TimeoutError:
            return error_response(Timeout("Timeout: request did not complete within the allotted timeout"))
        except OSError:
            return _gone(request)
        except RecursionError:  # what the decoder takes may be too deep for those who walk it further inside the stack
            log.warning("request_too_deep", method=request.method, path=request.raw_path)
            return error_response(BadRequest("the body of the request is nested too deep"), warnings)
        except Exception:
            log.exception("request_failed", method=request.method, path=request.raw_path)
            return error_response(InternalError("an error inside the server; its log says more"))

    async def _answer(self, request: BaseRequest, warnings: list[str]) -> StreamResponse:
        path, _, query_text = request.raw_path.partition("?")
        query = Query(query_text) if query_text else NO_QUERY
        parts = segments(path)
        if parts[0] in HEALTH_PATHS:
            return await health(parts, query, self._checks)
        if parts == ["version"]:
            return version()
        user = await authenticate(request, self._token_user)
        self._requests += 1
        context = RequestContext(user, f"{self._request_prefix}-{self._requests}", warnings.append)
        context = await as_asked(request, context, self._api)
        resource = parse_resource(parts)
        if resource is None:
            response = await self._non_resources.serve(request, context, parts, query)
        else:
            wanted = PLAIN if resource.subresource == PROXY else negotiate(request.headers.get("Accept", ""))
            response = await self._resources.serve(request, context, resource, query, wanted, warnings)
        return prettified(response) if query.flag("pretty") else response


def _gone(request: BaseRequest) -> StreamResponse:
    """For a connection that broke, or that we break since its stream cannot be completed: it gets no answer."""
    if request.transport is not None:
        request.transport.abort()
    return StreamResponse()


def server_tls(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 or newer; a client certificate is optional but must be right when there is one."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.client_ca_file)
    context.load_cert_chain(files.cert_file, files.key_file)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
