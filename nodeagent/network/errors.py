"""What can go wrong in the node's network. The message says what was tried, on what, and what the kernel answered."""

from orch.errors import OrchError


class NetworkFault(OrchError):
    """The network of this node or of a pod is not as it should be, and the step that failed can be tried again."""


class NetlinkError(NetworkFault):
    """The kernel refused a request. `errno` is its answer, positive."""

    def __init__(self, what: str, errno: int, message: str) -> None:
        super().__init__(f"{what}: {message}")
        self.errno = errno
