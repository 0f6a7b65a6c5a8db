import asyncio

import pytest

from controlplane.store.rpc import frames
from controlplane.store.rpc.connection import KEEPALIVE_TICK_S, SILENT_TICKS_MAX, Connection
from controlplane.store.rpc.frames import FrameCutter, Kind
from controlplane.store.rpc.messages import RpcError
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.store.rpc.test_connection import BLOCK, Wire

SILENCE_S = SILENT_TICKS_MAX * KEEPALIVE_TICK_S


def a_connection(wire: Wire) -> Connection:
    connection = Connection(asyncio.get_running_loop())
    connection.connection_made(wire)
    connection.data_received(frames.settings_frame({}))
    wire.writes.clear()
    return connection


def pings(wire: Wire) -> int:
    return [f.kind for write in wire.writes for f in FrameCutter().feed(write)].count(Kind.PING)


@virtual
async def test_a_silent_peer_is_pinged_then_given_up() -> None:
    wire = Wire()
    connection = a_connection(wire)
    call = connection.start(BLOCK, b"", None, unary=False)
    await asyncio.sleep(SILENCE_S - 1)
    assert (pings(wire), wire.aborted) == (1, False)
    with pytest.raises(RpcError, match="nothing heard for 15 s"):
        await call.receive()
    assert wire.aborted


@virtual
async def test_an_answered_ping_keeps_the_connection() -> None:
    wire = Wire()
    connection = a_connection(wire)
    connection.start(BLOCK, b"", None, unary=False)
    for _ in range(5):
        await asyncio.sleep(SILENCE_S - 1)
        connection.data_received(frames.frame(Kind.PING, frames.ACK, 0, bytes(8)))
    assert connection.usable
    assert pings(wire) >= 5
    connection.close("done")


@virtual
async def test_a_connection_without_calls_may_be_silent() -> None:
    wire = Wire()
    connection = a_connection(wire)
    await asyncio.sleep(10 * SILENCE_S)
    assert connection.usable
    assert not pings(wire)
    connection.close("done")
