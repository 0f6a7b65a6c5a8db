"""How long a container that ended waits for its next run. Pure.

As kubelet's (pkg/kubelet/kuberuntime doBackOff): the first restart is immediate, later ones wait, doubling; a long run
or a changed spec clears it. The delays are Orch's own: 1 s to 60 s.
"""

from nodeagent.container_state import Run
from orch.kit.backoff import Backoff

RESTART_DELAY_MIN_S = 1.0
RESTART_DELAY_MAX_S = 60.0
QUIET_S = 600.0
"""A run that lasted so long clears the back-off."""


class RestartBackoff:
    def __init__(self) -> None:
        self._backoff = Backoff[str](RESTART_DELAY_MIN_S, RESTART_DELAY_MAX_S)
        self._ended_before = False

    def delay_s(self, run: Run) -> float:
        """Before the run that follows this one; zero: at once."""
        if _was_long(run):
            self.forget()
        if self._ended_before:
            return self._backoff.next_s("restart")
        self._ended_before = True
        return 0.0

    def forget(self) -> None:
        self._backoff.forget("restart")
        self._ended_before = False


def _was_long(run: Run) -> bool:
    return run.ran_s is not None and run.ran_s >= QUIET_S
