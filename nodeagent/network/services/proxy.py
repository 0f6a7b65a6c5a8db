"""Keeps the kernel's service rules equal to the Services and EndpointSlices that were applied.

Changes are gathered by `apply_*` and written by `sync`, one transaction for all that is pending. The first sync, and
one after a failure, loads everything: rules that somebody else flushed come back. Connections that are remembered for
endpoints that are gone (session affinity, UDP flows) are forgotten after the rules have changed, so that no new one can
take their place.
"""

from collections.abc import Mapping

import structlog

from nodeagent.network.conntrack import delete_flow, open_conntrack, stale_flows, udp_flows
from nodeagent.network.rtnetlink import RtNetlink
from nodeagent.network.services.affinity import LIST_AFFINITY, forget, parse_affinity
from nodeagent.network.services.compile import Backend, Frontend
from nodeagent.network.services.nft import Nft, NftFault
from nodeagent.network.services.ruleset import (
    TABLE,
    RulesetConfig,
    chain_names,
    full_load,
    incremental,
)
from nodeagent.network.services.table import Change, Elements, ServiceTable
from orch.kit.threads import in_thread

log = structlog.get_logger(__name__)


class ServiceProxy:
    """`table` is fed by its owner; `sync` is called by one task at a time."""

    def __init__(self, table: ServiceTable, config: RulesetConfig) -> None:
        self._table = table
        self._config = config
        self._nft = Nft()
        self._chains: set[str] = set()
        self._loaded = False

    async def sync(self) -> None:
        """Writes what is pending. Raises NetworkFault; nothing is lost then, the next sync loads everything."""
        change = self._table.update()
        loaded, self._loaded = self._loaded, False
        if loaded:
            await in_thread(lambda: self._write(change))
        else:
            elements = self._table.elements()
            await in_thread(lambda: self._load(elements))
            change = Change(frontends=self._table.frontends(), sticky=True)
        backends = self._table.backends(change.frontends)
        await in_thread(lambda: self._forget(change, backends))
        self._loaded = True

    async def check(self) -> None:
        """Loads everything again if the table is gone. Raises NetworkFault."""
        try:
            await in_thread(lambda: self._nft.run(f"list set {TABLE} refused"))
        except NftFault as fault:
            log.warning("service_rules_lost", fault=str(fault))
            self._loaded = False
            await self.sync()

    def close(self) -> None:
        self._nft.close()

    def _load(self, elements: Elements) -> None:
        try:
            self._nft.run(full_load(self._config, elements, anew=False))
        except NftFault as fault:
            # Another version's table has other declarations; only the remembered clients are lost with it.
            log.warning("service_rules_made_anew", fault=str(fault))
            self._nft.run(full_load(self._config, elements, anew=True))
        self._chains = chain_names(elements.values())

    def _write(self, change: Change) -> None:
        commands = incremental(change, self._chains)
        if commands:
            self._nft.run(commands)
            self._chains |= chain_names(change.added.values())

    def _forget(self, change: Change, backends: Mapping[Frontend, frozenset[Backend]]) -> None:
        if change.sticky:
            commands = forget(parse_affinity(self._nft.run_json(LIST_AFFINITY)), change.frontends, backends)
            if commands:
                self._nft.run(commands)
        if any(frontend.protocol == "udp" for frontend in change.frontends):
            _forget_flows(change.frontends, backends)


def _forget_flows(changed: frozenset[Frontend], backends: Mapping[Frontend, frozenset[Backend]]) -> None:
    with RtNetlink() as node, open_conntrack() as conntrack:
        addresses = frozenset(str(found.interface.ip) for found in node.addresses())
        for flow in stale_flows(udp_flows(conntrack), changed, backends, addresses):
            delete_flow(conntrack, flow)
