"""What can go wrong with a volume. The message names the volume and what is missing or wrong."""

from orch.errors import OrchError


class VolumeFault(OrchError):
    """The volume cannot be made now; it is tried again when its objects change, and from time to time."""
