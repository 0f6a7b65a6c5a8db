"""From single results to a verdict, by successThreshold and failureThreshold. Pure.

As kubelet's worker (pkg/kubelet/prober/worker.go): a verdict needs that many equal results in a row, and holds until
the other side has as many.
"""


class Thresholds:
    def __init__(self, success: int, failure: int) -> None:
        self._needed = {True: success, False: failure}
        self._last: bool | None = None
        self._run = 0
        self._verdict: bool | None = None

    def observe(self, healthy: bool) -> bool | None:
        """The verdict, if it is a new one (the first always is); else None."""
        self._run = self._run + 1 if healthy == self._last else 1
        self._last = healthy
        if self._run < self._needed[healthy] or healthy == self._verdict:
            return None
        self._verdict = healthy
        return healthy
