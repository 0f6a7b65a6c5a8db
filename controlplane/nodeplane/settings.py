"""What an operator may set about the node sessions. Times are in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NodePlaneSettings:
    cluster_id: str
    """Names the cluster once and for all: an agent never takes objects of another cluster."""
    epoch: int = 1
    """Raised by a restore, so that agents accept the older revisions that come with it."""
    cluster_cidr: str = "10.244.0.0/16"
    """Where nodes get their pod addresses from."""
    node_prefix_length: int = 24
    """Size of one node's part of `cluster_cidr`."""
    heartbeat_interval_s: float = 0.5
    node_lost_after_s: float = 1.5
    """Without a heartbeat for so long a node is unreachable."""
    start_grace_s: float = 10.0
    """After its own start the server gives every known node this long to come back."""
    lease_renew_interval_s: float = 10.0
    """How often the Lease object of a living node is written."""
    fence_lease_s: float = 0.0
    """Granted with every heartbeat reply to pods that are fenced; zero: none."""
