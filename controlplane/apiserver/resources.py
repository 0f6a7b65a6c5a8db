"""From a resource path to its handler: which kind, which verb, which limits apply."""

import asyncio
from collections.abc import Mapping

from aiohttp.web import BaseRequest, StreamResponse

from controlplane.apiserver.call import Call
from controlplane.apiserver.limits import Deadlines, FairGate
from controlplane.apiserver.negotiation import Wanted
from controlplane.apiserver.objects import Handler, Objects, verbs_of
from controlplane.apiserver.paths import PROXY, ResourcePath, verb_of
from controlplane.apiserver.podlogs import PodLogs
from controlplane.apiserver.pods import PodLookup
from controlplane.apiserver.portforward import PortForwards
from controlplane.apiserver.proxy import METHODS, Proxies
from controlplane.apiserver.query import Query
from controlplane.apiserver.remotecommand import RemoteCommands
from controlplane.apiserver.responses import no_such_path
from controlplane.apiserver.settings import ServerSettings
from controlplane.apiserver.streams import NodeStreams
from controlplane.apiserver.watches import Watches
from controlplane.registry.interface import Api, RequestContext
from orch.api.kind import Kind, KindTable
from orch.errors import MethodNotAllowed
from orch.kit.clock import Clock
from orch.kit.ids import Ids

WATCH = "watch"


class Resources:
    """One per server. The kind table is asked at request time, so that kinds may come and go."""

    def __init__(
        self, api: Api, kinds: KindTable, streams: NodeStreams, clock: Clock, ids: Ids, settings: ServerSettings
    ) -> None:
        self._api = api
        self._kinds = kinds
        self.deadlines = Deadlines(settings.request_timeout_s)
        self._reads = FairGate(settings.reads)
        self._writes = FairGate(settings.writes)
        self.watches = Watches(api, clock, ids, settings)
        self._verbs = verbs_of(Objects(api, clock, settings.body_max_bytes))
        lookup = PodLookup(api)
        commands, forwards = RemoteCommands(lookup, streams), PortForwards(lookup, streams)
        self._streaming: Mapping[tuple[str, str], Handler] = {
            ("GET", "log"): PodLogs(lookup, streams, clock).serve,
            ("GET", "exec"): commands.exec,
            ("POST", "exec"): commands.exec,
            ("GET", "attach"): commands.attach,
            ("POST", "attach"): commands.attach,
            ("GET", "portforward"): forwards.serve,
            ("POST", "portforward"): forwards.serve,
            **dict.fromkeys(((method, PROXY) for method in METHODS), Proxies(api, lookup, streams, ids).serve),
        }

    async def serve(
        self,
        request: BaseRequest,
        context: RequestContext,
        path: ResourcePath,
        query: Query,
        wanted: Wanted,
        warnings: list[str],
    ) -> StreamResponse:
        """Raises ApiError. Long-running requests are neither counted nor timed."""
        kind = self._kinds.by_resource(path.group, path.version, path.plural)
        if kind is None or not _fits(kind, path):
            await self._refuse_unknown(request.method, context, path)
            raise no_such_path()
        call = Call(request, context, path, kind, query, wanted, warnings)
        if kind.deprecated:
            context.warn(kind.deprecated)
        method, what = request.method, path.subresource or ("object" if path.name else "collection")
        is_watch = method == "GET" and not path.subresource and query.flag("watch")
        if not path.subresource and (WATCH if is_watch else verb_of(method, path)) not in kind.verbs:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        if is_watch:
            return await self.watches.serve(call)
        streaming = self._streaming.get((method, what))
        if streaming is not None:
            return await streaming(call)
        handler = self._verbs.get((method, what))
        if handler is None or (kind.namespaced and not path.namespace and method != "GET" and what == "collection"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        gate, asked_s = self._reads if method == "GET" else self._writes, query.timeout_s()
        task = self.deadlines.begin()
        try:
            work = gate.run(context.user.name, handler, call)
            return await (work if asked_s is None else asyncio.wait_for(work, asked_s))
        finally:
            self.deadlines.end(task)

    async def _refuse_unknown(self, method: str, context: RequestContext, path: ResourcePath) -> None:
        """Authorization comes before 404, so that names of resources cannot be probed."""
        await self._api.authorize(
            context,
            verb_of(method, path),
            path.group,
            path.plural,
            namespace=path.namespace,
            name=path.name,
            subresource=path.subresource,
        )


def _fits(kind: Kind[object], path: ResourcePath) -> bool:  # type: ignore[type-var]
    """Whether the kind is served at such a path: its scope and its subresources."""
    if path.namespace and not kind.namespaced:
        return False
    if path.name and kind.namespaced and not path.namespace:
        return False
    return not path.subresource or path.subresource in kind.subresources
