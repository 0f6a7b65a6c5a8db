"""What only a real etcd can show: TLS, restarts, the quota, and the whole API over it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controlplane.registry.assembly import ApiParts, RegistrySettings, build_api
from controlplane.registry.interface import User
from controlplane.registry.local_client import LocalClient
from controlplane.store import keys
from controlplane.store.backend import Backend, Committed, Put, StoreError, StoreUnavailable
from controlplane.store.etcd import EtcdBackend, EtcdTls, open_channel
from controlplane.store.etcd_upkeep import EtcdUpkeep, Step
from controlplane.store.transform import AesGcm
from orch import pki
from orch.api.configmap import ConfigMap
from orch.api.kinds import CONFIGMAPS, SECRETS, builtin_kinds
from orch.api.meta import ObjectMeta
from orch.api.secret import Secret
from orch.client.client import EventType
from orch.kit.clock import SystemClock
from orch.kit.ids import SystemIds
from tests.etcd import free_port, running_etcd
from tests.tokens import a_signer

TIMEOUT_S = 20
SMALL_QUOTA_BYTES = 16 * 1024 * 1024


@asynccontextmanager
async def running_api(backend: Backend) -> AsyncIterator[tuple[ApiParts, LocalClient]]:
    transformers = {("", "secrets"): AesGcm((b"k" * 32,), os.urandom)}
    parts = build_api(
        backend, builtin_kinds(), SystemClock(), SystemIds(), RegistrySettings(transformers=transformers), a_signer()
    )
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(parts.run())
        await parts.ready.wait()
        yield parts, LocalClient(parts.api, User("admin", ("system:masters",)), SystemIds())
        running.cancel()


def config(name: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"))


async def test_strangers_are_turned_away(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        await (await etcd.connect_when_up()).close()
        now = SystemClock().now()
        other = pki.create_ca("other", now=now)
        stranger = pki.issue(other, "stranger", now=now)
        for tls in (
            EtcdTls(etcd.tls.ca, stranger.cert_pem, stranger.key_pem),
            EtcdTls(other.cert_pem, etcd.tls.certificate, etcd.tls.key),
        ):
            with pytest.raises(StoreUnavailable):
                await EtcdBackend.connect([etcd.endpoint], tls)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:2379", "127.0.0.1:2379", "https://127.0.0.1"])
def test_endpoints_that_cannot_be_used_are_named(endpoint: str) -> None:
    with pytest.raises(StoreError, match="expected https://host:port"):
        open_channel([endpoint], EtcdTls(b"", b"", b""))


async def test_the_api_survives_a_restart_of_etcd(tmp_path: Path) -> None:
    """1. A watch runs. 2. etcd stops: writes fail. 3. It returns: writes work, the watch goes on, nothing is lost."""
    port = free_port()
    with running_etcd(tmp_path, port=port) as etcd:
        backend = await etcd.connect_when_up()
        api = running_api(backend)
        parts, client = await api.__aenter__()
        first = await client.create(CONFIGMAPS, config("a"))
    with pytest.raises(Exception, match="store"):
        await client.create(CONFIGMAPS, config("lost"))
    with running_etcd(tmp_path, port=port) as etcd:
        await (await etcd.connect_when_up()).close()
        async with client.watch(CONFIGMAPS, resource_version=first.metadata.resource_version) as events:
            while True:
                try:
                    await client.create(CONFIGMAPS, config("b"))
                    break
                except Exception:
                    await asyncio.sleep(0.1)
            async with asyncio.timeout(TIMEOUT_S):
                event = await anext(events)
        assert (event.type, event.obj.metadata.name) == (EventType.ADDED, "b")
        assert [item.metadata.name for item in (await client.list(CONFIGMAPS)).items] == ["a", "b"]
        assert parts.cache.revision == await backend.revision()
        await api.__aexit__(None, None, None)
        await backend.close()


async def test_a_second_server_sees_the_first_ones_writes_and_history(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        backend = await etcd.connect_when_up()
        async with running_api(backend) as (_, one):
            first = await one.create(CONFIGMAPS, config("a"))
            second = await one.create(CONFIGMAPS, config("b"))
            async with running_api(backend) as (_, two):
                async with two.watch(CONFIGMAPS, resource_version=first.metadata.resource_version) as events:
                    assert (await anext(events)).obj == second
                    await one.delete(CONFIGMAPS, "a", "default")
                    assert (await anext(events)).type is EventType.DELETED
                page = await two.list(CONFIGMAPS, limit=1)
                await one.create(CONFIGMAPS, config("c"))
                assert (await two.get(CONFIGMAPS, "c", "default")).metadata.name == "c"
                assert [item.metadata.name for item in page.items] == ["b"]
        await backend.close()


async def test_secrets_are_unreadable_at_rest(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        backend = await etcd.connect_when_up()
        async with running_api(backend) as (_, client):
            secret = Secret(metadata=ObjectMeta(name="s", namespace="default"), data={"password": b"hunter2"})
            created = await client.create(SECRETS, secret)
            assert (await client.get(SECRETS, "s", "default")) == created
        entry, _ = await backend.get(keys.object_key(SECRETS, "default", "s"))
        assert entry is not None
        assert entry.value[:1] == b"\x02"
        assert b"password" not in entry.value
        async with running_api(backend) as (_, client):
            assert (await client.get(SECRETS, "s", "default")).data == {"password": b"hunter2"}
        await backend.close()


async def put_until(backend: Backend, stop: asyncio.Event, name: str) -> set[str]:
    """The keys whose writes were confirmed."""
    done: set[str] = set()
    number = 0
    while not stop.is_set():
        number += 1
        try:
            await backend.commit([], [Put(f"/load/{name}/{number}", b"x" * 1000)])
            done.add(f"/load/{name}/{number}")
        except StoreUnavailable:
            await asyncio.sleep(0.05)
    return done


async def test_a_restart_under_load_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    """1. Writers run. 2. etcd is killed and another takes its place. 3. The same backend writes on."""
    port, stop = free_port(), asyncio.Event()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        with running_etcd(tmp_path, port=port) as etcd:
            backend = await etcd.connect_when_up()
            writers = [group.create_task(put_until(backend, stop, str(number))) for number in range(16)]
            await asyncio.sleep(0.5)
            os.kill(etcd.pid, signal.SIGKILL)
            await asyncio.sleep(0.2)
        with running_etcd(tmp_path, port=port) as etcd:
            await (await etcd.connect_when_up()).close()
            before = await backend.revision()
            async with backend.watch("/load/", start_revision=before + 100) as steps:
                await anext(steps)
            stop.set()
            confirmed: set[str] = set().union(*[await writer for writer in writers])
            found = {entry.key for entry in (await backend.range("/load/")).entries}
            await backend.close()
    assert len(confirmed) > 100
    assert confirmed <= found


async def test_many_large_values_at_once(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        backend = await etcd.connect_when_up()
        values = {f"/large/{number}": os.urandom(100_000) for number in range(500)}
        async with asyncio.TaskGroup() as group:
            for key, value in values.items():
                group.create_task(backend.commit([], [Put(key, value)]))
        entries = (await backend.range("/large/")).entries
        assert {entry.key: entry.value for entry in entries} == values
        await backend.close()


async def test_a_reader_gets_a_large_backlog_whole(tmp_path: Path) -> None:
    """60 MB, more than a stream's window, with other calls between the steps."""
    with running_etcd(tmp_path) as etcd:
        backend = await etcd.connect_when_up()
        for number in range(60):
            await backend.commit([], [Put(f"/backlog/{number}", os.urandom(1_000_000))])
        seen: list[str] = []
        async with asyncio.timeout(60), backend.watch("/backlog/", start_revision=1) as steps:
            while len(seen) < 60:
                seen += [change.key for change in (await anext(steps)).changes]
                assert await backend.revision() > 60
        assert seen == [f"/backlog/{number}" for number in range(60)]
        await backend.close()


async def test_an_etcd_that_hangs_is_given_up_and_found_again(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        backend = await etcd.connect_when_up()
        os.kill(etcd.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                with pytest.raises(StoreUnavailable, match="no answer within 5 s"):
                    await backend.commit([], [Put("/hangs", b"x")])
        finally:
            os.kill(etcd.pid, signal.SIGCONT)
        await backend.commit([], [Put("/goes-on", b"x")])
        await backend.close()


async def test_an_endpoint_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        await (await etcd.connect_when_up()).close()
        backend = await EtcdBackend.connect([f"https://127.0.0.1:{free_port()}", etcd.endpoint], etcd.tls)
        await backend.commit([], [Put("/a", b"x")])
        await backend.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await backend.commit([], [Put("/a", b"x")])


async def test_a_cancelled_call_leaves_the_connection_usable(tmp_path: Path) -> None:
    with running_etcd(tmp_path) as etcd:
        backend = await etcd.connect_when_up()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(backend.commit([], [Put("/a", os.urandom(1_000_000))]))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
        await backend.commit([], [Put("/b", os.urandom(1_000_000))])
        await backend.close()


async def fill(backend: Backend, key: str) -> int:
    """Overwrites one key until etcd refuses; the last revision."""
    revision = 0
    for _ in range(100):
        try:
            result = await backend.commit([], [Put(key, os.urandom(1_000_000))])
        except StoreError:
            return revision
        assert isinstance(result, Committed)
        revision = result.revision
    pytest.fail("the quota was never reached")


async def test_a_full_store_becomes_writable_again(tmp_path: Path) -> None:
    with running_etcd(tmp_path, quota_bytes=SMALL_QUOTA_BYTES) as etcd:
        backend = await etcd.connect_when_up()
        channel = open_channel([etcd.endpoint], etcd.tls)
        upkeep = EtcdUpkeep(channel, SMALL_QUOTA_BYTES)
        revision = await fill(backend, "/filler")
        full = await upkeep.usage()
        assert full.out_of_space
        await backend.compact(revision)
        assert await upkeep.turn() == [Step.WARN, Step.DEFRAGMENT]
        assert (await upkeep.usage()).total_bytes < full.total_bytes / 2
        assert await upkeep.turn() == [Step.DISARM]
        await backend.commit([], [Put("/small", b"x")])
        await channel.close()
        await backend.close()
