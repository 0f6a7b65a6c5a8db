"""What a question about a name gets: from the cluster's records, or the word that upstream must be asked. Pure.

A name below the cluster domain, or the reverse name of an address of the cluster, is ours alone: what has no record is
NXDOMAIN at once, so that a resolver walks its search list without waiting; a name that exists without a record of the
wanted type is NODATA.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from nodeagent.network.dns.records import ClusterRecords, Record

ALIAS_CHAIN_MAX = 8


class Verdict(Enum):
    ANSWER = "answer"
    """Records, or none (NODATA) for a name that exists."""
    NO_NAME = "no such name"
    ASK_UPSTREAM = "ask upstream"
    """For `Answer.ask_for`; what upstream says goes behind `records`."""


@dataclass(frozen=True, slots=True)
class Answer:
    verdict: Verdict
    records: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    ask_for: str = ""


@dataclass(frozen=True, slots=True)
class Zone:
    """What this server alone speaks for."""

    records: ClusterRecords
    networks: tuple[IPv4Network, ...]
    """Of the cluster's pods and Services: their reverse names are ours."""

    def owns(self, name: str) -> bool:
        domain = self.records.domain
        return name == domain or name.endswith(f".{domain}") or self._owns_reverse(name)

    def _owns_reverse(self, name: str) -> bool:
        address = _reversed_address(name)
        return address is not None and any(address in network for network in self.networks)


def answer(name: str, kind: str, zone: Zone) -> Answer:
    """`name` in lower case without the final dot; `kind` such as A, AAAA, SRV, PTR, ANY."""
    aliases: list[Record] = []
    while len(aliases) < ALIAS_CHAIN_MAX:
        if not zone.owns(name):
            return Answer(Verdict.ASK_UPSTREAM, tuple(aliases), ask_for=name)
        found = _find(name, zone.records)
        alias = next((record for record in found if record.type == "CNAME"), None)
        if alias is None or kind == "CNAME":
            return _own_answer(name, kind, zone, aliases, found)
        aliases.append(alias)
        name = alias.value.rstrip(".")
    return Answer(Verdict.ANSWER, tuple(aliases))


def _own_answer(name: str, kind: str, zone: Zone, aliases: list[Record], found: Iterable[Record]) -> Answer:
    matching = tuple(record for record in found if kind in (record.type, "ANY"))
    if matching:
        targets = (record.value.split()[3].rstrip(".") for record in matching if record.type == "SRV")
        additional = (record for target in targets for record in zone.records.find(target) if record.type == "A")
        return Answer(Verdict.ANSWER, (*aliases, *matching), tuple(dict.fromkeys(additional)))
    exists = bool(tuple(found)) or zone.records.exists(name) or _is_structural(name, zone.records.domain)
    return Answer(Verdict.ANSWER if exists else Verdict.NO_NAME, tuple(aliases))


def _find(name: str, records: ClusterRecords) -> tuple[Record, ...]:
    found = records.find(name)
    address = None if found else _pod_name_address(name, records.domain)
    return (Record(name, "A", str(address)),) if address is not None else found


def _is_structural(name: str, domain: str) -> bool:
    return name in (domain, f"svc.{domain}", f"pod.{domain}")


def _pod_name_address(name: str, domain: str) -> IPv4Address | None:
    """10-244-1-5.<namespace>.pod.<domain> says its own address."""
    labels = name.removesuffix(f".pod.{domain}").split(".")
    if not name.endswith(f".pod.{domain}") or len(labels) != 2:
        return None
    return _address(labels[0].replace("-", "."))


def _reversed_address(name: str) -> IPv4Address | None:
    if not name.endswith(".in-addr.arpa"):
        return None
    return _address(".".join(reversed(name.removesuffix(".in-addr.arpa").split("."))))


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None
