"""Leases for objects that expire by themselves. Many objects share a lease, since each lease costs the store a timer.

All that is written within one bucket of time gets the same lease, as in apiserver's `leaseManager`. Nothing is kept
beyond this process: after a restart the next write takes a new lease, and the old ones run out on their own.
Invariant: an object lives at least `ttl_s` after its last write, and at most a bucket longer.
"""

import asyncio

from controlplane.store.backend import Backend
from orch.kit.clock import Clock

LEASE_BUCKET_S = 300


class SharedLeases:
    def __init__(self, backend: Backend, clock: Clock, ttl_s: int) -> None:
        self._backend = backend
        self._clock = clock
        self._ttl_s = ttl_s
        self._lease = 0
        self._bucket_end = 0.0
        self._granting = asyncio.Lock()

    async def current(self) -> int:
        """The lease for a write of now. Raises StoreError."""
        async with self._granting:
            now = self._clock.monotonic()
            if not self._lease or now >= self._bucket_end:
                self._lease = await self._backend.grant_lease(self._ttl_s + LEASE_BUCKET_S)
                self._bucket_end = now + LEASE_BUCKET_S
            return self._lease
