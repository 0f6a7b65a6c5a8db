"""How a machine becomes a node: the cluster's join token buys a certificate in the node's name.

The subject is what the server says, `system:node:<name>` in `system:nodes`, never what the request says. The token is
compared in constant time. The Node object is made when the session opens, with what the agent knows of the machine.
"""

import hmac
import re
from dataclasses import dataclass

import structlog

from orch.api.identities import NODE_USER_PREFIX, NODES_GROUP
from orch.errors import BadRequest, Unauthorized
from orch.kit.clock import Clock
from orch.pki import InvalidRequest, KeyPair, sign_csr

log = structlog.get_logger(__name__)

_NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Joiner:
    ca: KeyPair
    token: str
    clock: Clock

    def join(self, node: str, token: str, csr_pem: bytes) -> bytes:
        """The node's certificate as PEM. Raises Unauthorized, BadRequest."""
        if not self.token or not hmac.compare_digest(token.encode(), self.token.encode()):
            log.warning("join_refused", node=node, reason="wrong token")
            raise Unauthorized("the join token is not this cluster's")
        if not _NODE_NAME.fullmatch(node):
            raise BadRequest(f"{node!r} is no valid node name (RFC 1123 subdomain)")
        try:
            certificate = sign_csr(
                self.ca, csr_pem, common_name=NODE_USER_PREFIX + node, organizations=[NODES_GROUP], now=self.clock.now()
            )
        except InvalidRequest as error:
            raise BadRequest(f"node {node!r} cannot join: {error}") from error
        log.info("node_joined", node=node)
        return certificate
