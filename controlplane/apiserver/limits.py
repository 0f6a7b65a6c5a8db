"""How many requests may be in work at once (kube-apiserver's max-in-flight). Long-running requests are not counted."""

from types import TracebackType

from orch.errors import TooManyRequests


class Gate:
    """A counter with a bound; entering a full gate raises TooManyRequests and never waits."""

    __slots__ = ("_in_flight", "_max", "_retry_after_s")

    def __init__(self, max_in_flight: int, retry_after_s: int) -> None:
        self._in_flight = 0
        self._max = max_in_flight
        self._retry_after_s = retry_after_s

    def __enter__(self) -> None:
        if self._in_flight >= self._max:
            raise TooManyRequests(
                "too many requests are in flight, please try again later", retry_after_s=self._retry_after_s
            )
        self._in_flight += 1

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_flight -= 1
