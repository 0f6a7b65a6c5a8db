"""Which nodes are alive, from their heartbeats. Pure: times are arguments, on a monotonic clock, in seconds.

Deadlines do not count while the server itself did not run: a tick that comes late moves every deadline by the lag, so
that a stalled server never takes its own silence for that of the nodes.
"""

TICK_S = 0.1
TICK_LAG_S = 0.2
"""A tick that is later than this was held up by the server itself."""


class Liveness:
    def __init__(self, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        self._deadlines: dict[str, float] = {}
        self._last_tick: float | None = None
        self._lag_s = 0.0

    def heard(self, node: str, now: float) -> None:
        self.expect(node, now, self._lost_after_s)

    def expect(self, node: str, now: float, within_s: float) -> None:
        """The node is alive until `within_s` from now."""
        self._deadlines[node] = now - self._lag_s + within_s

    def forget(self, node: str) -> None:
        self._deadlines.pop(node, None)

    def is_alive(self, node: str) -> bool:
        return node in self._deadlines

    def tick(self, now: float) -> tuple[str, ...]:
        """The nodes that were lost since the last tick. Called every `TICK_S`."""
        if self._last_tick is not None and now - self._last_tick > TICK_S + TICK_LAG_S:
            self._lag_s += now - self._last_tick - TICK_S
        self._last_tick = now
        counted = now - self._lag_s
        lost = tuple(node for node, deadline in self._deadlines.items() if deadline <= counted)
        for node in lost:
            del self._deadlines[node]
        return lost
