"""The node's certificate: made once with the join token, kept on the node's disk, renewed before it ends.

The key never leaves the node; what is sent is a signing request.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import structlog

from nodeagent.grpc_link import JoinRefused, NodeCertificate, join
from nodeagent.link import LinkLost
from orch.api.identities import NODE_USER_PREFIX, NODES_GROUP
from orch.errors import OrchError
from orch.kit.backoff import Backoff
from orch.kit.clock import Clock
from orch.kit.files import write_atomic
from orch.pki import is_current, new_csr

log = structlog.get_logger(__name__)

RENEW_BEFORE = timedelta(days=30)
RENEWAL_CHECK_PERIOD_S = 24 * 60 * 60.0
JOIN_DELAY_MIN_S = 0.2
JOIN_DELAY_MAX_S = 10.0
CA_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.crt", "node.crt", "node.key"


async def ensure_certificate(
    folder: Path, node: str, join_target: str, ca_pem: bytes, token: str, clock: Clock
) -> NodeCertificate:
    """The certificate in `folder`, joining first if there is none, it is about to end, or it is of another CA.

    The first time it waits for the server as long as it takes; pods that run never wait. Raises JoinRefused.
    """
    known = _load(folder, ca_pem)
    if known is not None and is_current(known.certificate_pem, now=clock.now(), remaining=RENEW_BEFORE):
        return known
    csr_pem, key_pem = new_csr(NODE_USER_PREFIX + node, [NODES_GROUP])
    try:
        if known is not None:
            certificate_pem = await join(join_target, ca_pem, node, token, csr_pem)
        else:
            certificate_pem = await _join_at_last(join_target, ca_pem, node, token, csr_pem)
    except (JoinRefused, LinkLost) as error:
        if known is None:
            raise
        log.error("certificate_not_renewed", node=node, error=str(error), next="going on with the one that ends soon")
        return known
    log.info("node_joined", node=node)
    return _save(folder, NodeCertificate(ca_pem, certificate_pem, key_pem))


async def keep_renewed(
    ensure: Callable[[], Awaitable[NodeCertificate]], renewed: Callable[[NodeCertificate], None]
) -> None:
    """Calls `ensure` once a day, until cancelled; a failure waits for the next day, the node goes on."""
    while True:
        await asyncio.sleep(RENEWAL_CHECK_PERIOD_S)
        try:
            renewed(await ensure())
        except (OrchError, OSError) as error:
            log.error("certificate_not_renewed", error=str(error), next_try_in_s=RENEWAL_CHECK_PERIOD_S)


def _load(folder: Path, ca_pem: bytes) -> NodeCertificate | None:
    """None: there is none, or it is of another cluster."""
    try:
        parts = [(folder / name).read_bytes() for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE)]
    except FileNotFoundError:
        return None
    return NodeCertificate(*parts) if parts[0] == ca_pem else None


def _save(folder: Path, certificate: NodeCertificate) -> NodeCertificate:
    """The CA's file last: without it the others do not count."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / CA_FILE).unlink(missing_ok=True)
    write_atomic(folder / KEY_FILE, certificate.key_pem)
    write_atomic(folder / CERTIFICATE_FILE, certificate.certificate_pem)
    write_atomic(folder / CA_FILE, certificate.ca_pem)
    return certificate


async def _join_at_last(target: str, ca_pem: bytes, node: str, token: str, csr_pem: bytes) -> bytes:
    backoff = Backoff[str](JOIN_DELAY_MIN_S, JOIN_DELAY_MAX_S)
    while True:
        try:
            return await join(target, ca_pem, node, token, csr_pem)
        except LinkLost as error:
            delay_s = backoff.next_s("join")
            log.info("join_waits", target=target, error=str(error), retry_in_s=delay_s)
            await asyncio.sleep(delay_s)
