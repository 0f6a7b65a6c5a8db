"""The one shell of all controllers: changes -> keys -> queue -> pure decision -> actions.

    informer --keys--> WorkQueue --key--> decide(key, now) --Decision--> perform --> wait for the cache --> done

A controller is told keys, reads the caches, and returns a Decision. The runner performs it, waits until the caches hold
what it wrote, and only then lets the key be decided again, so that no controller counts its own writes.

Invariant: at most one decision per controller and key is under way, and it sees every earlier write of its own.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import structlog

from controlplane.controllers.actions import Action, Create, Decision, Delete, Patch, Update, perform
from orch.api.kind import Kind
from orch.api.meta import Object
from orch.client.client import Client
from orch.client.events import EventRecorder
from orch.client.informer import Informer, Informers, Key
from orch.errors import AlreadyExists, ApiError, Conflict, NotFound, ServiceUnavailable, Timeout, TooManyRequests
from orch.kit.backoff import Backoff
from orch.kit.clock import Clock
from orch.kit.tasks import forever
from orch.kit.workqueue import WorkQueue

log = structlog.get_logger(__name__)

T = TypeVar("T", bound=Object)

WORKERS = 8
BATCH_ACTIONS_MAX = 64
BACKOFF_MIN_S = 0.01
BACKOFF_MAX_S = 60.0
CACHE_LAG_MAX_S = 30.0
PASSING = (Conflict, ServiceUnavailable, Timeout, TooManyRequests)
"""Errors that say nothing of what was asked for: the view was old, or the server is busy."""

KeysOf = Callable[[T | None, T | None], Iterable[Key]]
"""(old, new) -> the keys that the change concerns. One of the two may be None, never both."""


@dataclass(frozen=True)
class Watch(Generic[T]):
    informer: Informer[T]
    keys_of: KeysOf[T]


@dataclass(frozen=True)
class Controller:
    """One controller: what it watches and how it decides. `decide` and `refused` are pure readers of the caches."""

    name: str
    kind: Kind[Any]
    """The kind that keys name and whose status decisions carry."""
    watches: tuple[Watch[Any], ...]
    decide: Callable[[Key, datetime], Decision]
    refused: Callable[[Key, ApiError, datetime], Object | None] = lambda key, error, now: None
    """The object with the status that tells of a refused Create or Delete; None: nothing to tell. Not asked about other
    actions, nor when trying again may be all that it takes (`PASSING`)."""
    initial_keys: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    action: Action
    error: ApiError


def own_key(old: Object | None, new: Object | None) -> Iterable[Key]:
    obj = new or old
    return ((obj.metadata.namespace, obj.metadata.name),) if obj else ()


class Runner:
    """Runs one controller; `run` belongs to its owner's TaskGroup."""

    def __init__(
        self, controller: Controller, informers: Informers, client: Client, clock: Clock, events: EventRecorder
    ) -> None:
        self._controller, self._informers = controller, informers
        self._client, self._clock, self._events = client, clock, events
        self._queue = WorkQueue[Key]()
        self._backoff = Backoff[Key](BACKOFF_MIN_S, BACKOFF_MAX_S)
        self._log = log.bind(controller=controller.name)
        for watch in controller.watches:
            self.add_watch(watch)
        for key in controller.initial_keys:
            self._queue.add(key)

    async def run(self) -> None:
        await self._informers.synced()
        async with asyncio.TaskGroup() as workers:
            for _ in range(WORKERS):
                workers.create_task(forever(f"controller {self._controller.name}", self._work))

    def add_watch(self, watch: Watch[T]) -> None:
        """Also while it runs, for kinds that are registered later."""

        def enqueue(old: T | None, new: T | None) -> None:
            for key in watch.keys_of(old, new):
                self._queue.add(key)

        watch.informer.add_handler(enqueue)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._reconcile(key)
            finally:
                self._queue.done(key)

    async def _reconcile(self, key: Key) -> None:
        try:
            decision = self._controller.decide(key, self._clock.now())
            await self._carry_out(key, decision)
        except ApiError as error:
            self._queue.add_after(key, self._retry_delay_s(key, error))
        except Exception:
            self._log.exception("reconcile_failed", key=key)
            self._queue.add_after(key, self._backoff.next_s(key))
        else:
            self._backoff.forget(key)
            if decision.requeue_after_s is not None:
                self._queue.add_after(key, decision.requeue_after_s)

    def _retry_delay_s(self, key: Key, error: ApiError) -> float:
        match error:
            case TooManyRequests() | ServiceUnavailable() if error.retry_after_s:
                return float(error.retry_after_s)
            case Conflict() | AlreadyExists() | NotFound():
                self._log.debug("reconcile_outdated", key=key, error=str(error))
            case _:
                self._log.warning("reconcile_refused", key=key, error=str(error))
        return self._backoff.next_s(key)

    async def _carry_out(self, key: Key, decision: Decision) -> None:
        if decision.actions:
            self._log.debug("decided", key=key, **decision.log_fields())
        failure = await self._perform_all(decision.actions)
        if failure is not None:
            await self._tell(key, failure)
            raise failure.error
        for event in decision.events:
            self._events.record(event.about, event.type, event.reason, event.message)
        await self._write_status(decision.status)

    async def _tell(self, key: Key, failure: Failure) -> None:
        if isinstance(failure.action, Create | Delete) and not isinstance(failure.error, PASSING):
            await self._write_status(self._controller.refused(key, failure.error, self._clock.now()))

    async def _write_status(self, obj: Object | None) -> None:
        if obj is not None:
            failure = await self._perform_all((Update(self._controller.kind, obj, "status"),))
            if failure is not None:
                raise failure.error

    async def _perform_all(self, actions: tuple[Action, ...]) -> Failure | None:
        """In batches of 1, 2, 4, ... so that what fails, fails once and not a thousand times (slow start).

        The first failure, after the caches have seen what succeeded.
        """
        size = 1
        while actions:
            batch, actions = actions[:size], actions[size:]
            failures: list[Failure] = []
            async with asyncio.TaskGroup() as tasks:
                for action in batch:
                    tasks.create_task(self._attempt(action, failures))
            if failures:
                return failures[0]
            size = min(2 * size, BATCH_ACTIONS_MAX)
        return None

    async def _attempt(self, action: Action, failures: list[Failure]) -> None:
        try:
            written = await perform(self._client, action)
        except ApiError as error:
            self._announce_failure(action, error)
            failures.append(Failure(action, error))
            return
        self._announce_success(action, written)
        try:
            async with asyncio.timeout(CACHE_LAG_MAX_S):
                await self._seen(action, written)
        except TimeoutError:
            late = ServiceUnavailable(f"the cache did not see a write within {CACHE_LAG_MAX_S:.0f} s")
            failures.append(Failure(action, late))

    async def _seen(self, action: Action, written: Object | None) -> None:
        match action:
            case Delete() if self._informers.has(action.kind):
                await self._informers.of(action.kind).deletion_seen(action.namespace, action.name, action.uid)
            case Create() | Update() | Patch() if written is not None and self._informers.has(action.kind):
                await self._informers.of(action.kind).reached(int(written.metadata.resource_version))

    def _announce_success(self, action: Action, written: Object | None) -> None:
        match action:
            case Create(announce=about) if about is not None and written is not None:
                message = f"Created {action.kind.kind.lower()}: {written.metadata.name}"
                self._events.record(about, "Normal", "SuccessfulCreate", message)
            case Delete(announce=about) if about is not None:
                message = f"Deleted {action.kind.kind.lower()}: {action.name}"
                self._events.record(about, "Normal", "SuccessfulDelete", message)

    def _announce_failure(self, action: Action, error: ApiError) -> None:
        match action:
            case Create(announce=about) if about is not None:
                self._events.record(about, "Warning", "FailedCreate", f"Error creating: {error}")
            case Delete(announce=about) if about is not None:
                self._events.record(about, "Warning", "FailedDelete", f"Error deleting: {error}")
