"""Between DNS messages on the wire and questions, answers and records. Pure; the wire format is dnspython's."""

from collections.abc import Iterable
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from nodeagent.network.dns.answer import Answer, Verdict
from nodeagent.network.dns.records import Record

TTL_S = 5
"""Short, as CoreDNS has it for cluster names: endpoints come and go."""
UDP_BYTES_DEFAULT = 512
UDP_BYTES_OFFERED = 1232
"""What avoids fragments on any path (DNS flag day 2020)."""


@dataclass(frozen=True, slots=True)
class Question:
    query: dns.message.Message
    name: str
    """Lower case, without the final dot."""
    kind: str


def parse_question(wire: bytes) -> Question | dns.message.Message | None:
    """The question; or the refusal to send; or None for what is no query at all and gets no answer."""
    try:
        query = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return None
    if query.flags & dns.flags.QR:
        return None
    if query.opcode() != dns.opcode.QUERY:
        return refusal(query, dns.rcode.NOTIMP)
    if len(query.question) != 1:
        return refusal(query, dns.rcode.FORMERR)
    asked = query.question[0]
    if asked.rdclass != dns.rdataclass.IN:
        return refusal(query, dns.rcode.REFUSED)
    name = asked.name.to_text(omit_final_dot=True).lower()
    return Question(query, name, dns.rdatatype.to_text(asked.rdtype))


def refusal(query: dns.message.Message, code: dns.rcode.Rcode) -> dns.message.Message:
    reply = _reply_to(query)
    reply.set_rcode(code)
    return reply


def reply_with(question: Question, answer: Answer, domain: str) -> dns.message.Message:
    """The reply of an answer that needs no upstream."""
    reply = _reply_to(question.query)
    reply.flags |= dns.flags.AA
    _add(reply, reply.answer, _rotated(answer.records, question.query.id))
    _add(reply, reply.additional, answer.additional)
    if answer.verdict is Verdict.NO_NAME:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    if not answer.records:
        owner = domain if question.name.endswith(domain) else question.name
        _add(reply, reply.authority, [_authority(owner, domain)])
    return reply


def upstream_query(question: Question, name: str) -> dns.message.Message:
    """The question about `name` instead, for an alias that leaves the cluster."""
    query = dns.message.make_query(f"{name}.", question.kind)
    query.id = question.query.id
    return query


def reply_behind_aliases(question: Question, aliases: Iterable[Record], upstream: bytes) -> dns.message.Message:
    """The aliases, then what upstream said of the last one. Raises dns.exception.DNSException for a broken reply."""
    said = dns.message.from_wire(upstream)
    reply = _reply_to(question.query)
    _add(reply, reply.answer, aliases)
    reply.answer.extend(said.answer)
    reply.set_rcode(said.rcode())
    return reply


def udp_wire(reply: dns.message.Message) -> bytes:
    """What fits the asker's buffer; emptied, with the mark that sends it to TCP, otherwise."""
    try:
        return reply.to_wire(max_size=max(reply.request_payload, UDP_BYTES_DEFAULT))
    except dns.exception.TooBig:
        for section in (reply.answer, reply.authority, reply.additional):
            section.clear()
        reply.flags |= dns.flags.TC
        return reply.to_wire()


def _reply_to(query: dns.message.Message) -> dns.message.Message:
    return dns.message.make_response(query, recursion_available=True, our_payload=UDP_BYTES_OFFERED)


def _add(reply: dns.message.Message, section: list[dns.rrset.RRset], records: Iterable[Record]) -> None:
    for record in records:
        kind = dns.rdatatype.from_text(record.type)
        owner = dns.name.from_text(record.name)
        rrset = reply.find_rrset(section, owner, dns.rdataclass.IN, kind, create=True)
        rrset.add(dns.rdata.from_text(dns.rdataclass.IN, kind, record.value), TTL_S)


def _rotated(records: tuple[Record, ...], step: int) -> tuple[Record, ...]:
    """Aliases lead; what follows begins somewhere else for each query, so that clients who take the first differ."""
    aliases = tuple(record for record in records if record.type == "CNAME")
    others = records[len(aliases) :]
    start = step % len(others) if others else 0
    return (*aliases, *others[start:], *others[:start])


def _authority(owner: str, domain: str) -> Record:
    """The SOA record that lets a resolver remember a negative answer for TTL_S."""
    return Record(owner, "SOA", f"ns.dns.{domain}. hostmaster.{domain}. 1 7200 1800 86400 {TTL_S}")
