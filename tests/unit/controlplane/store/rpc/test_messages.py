import os

import pytest

from controlplane.store.rpc.messages import Code, MessageReader, RpcError, error_of, error_of_reset, framed


def test_messages_cut_at_every_byte_are_the_same() -> None:
    data = framed(b"one") + framed(b"") + framed(b"three")
    for cut in range(len(data) + 1):
        reader = MessageReader()
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == [b"one", b"", b"three"]


def test_a_huge_message_in_small_pieces() -> None:
    message, reader = os.urandom(3_000_000), MessageReader()
    data = framed(message)
    pieces = [data[start : start + 16_384] for start in range(0, len(data), 16_384)]
    assert [found for piece in pieces for found in reader.feed(piece)] == [message]


@pytest.mark.parametrize(
    ("prefix", "code"), [(b"\1\0\0\0\0", Code.INTERNAL), (b"\0\xff\xff\xff\xff", Code.RESOURCE_EXHAUSTED)]
)
def test_messages_that_are_refused(prefix: bytes, code: Code) -> None:
    with pytest.raises(RpcError) as caught:
        MessageReader().feed(prefix)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("headers", "code", "details"),
    [
        ({":status": "200", "grpc-status": "14", "grpc-message": "no%20leader%25"}, Code.UNAVAILABLE, "no leader%"),
        ({"grpc-status": "99"}, Code.UNKNOWN, ""),
        ({":status": "503"}, Code.UNAVAILABLE, "an answer without grpc-status, HTTP status 503"),
    ],
)
def test_statuses(headers: dict[str, str], code: Code, details: str) -> None:
    error = error_of(headers)
    assert error is not None
    assert (error.code, error.details) == (code, details)


def test_success_is_no_error() -> None:
    assert error_of({"grpc-status": "0"}) is None


@pytest.mark.parametrize(("reset", "code"), [(7, Code.UNAVAILABLE), (8, Code.CANCELLED), (2, Code.INTERNAL)])
def test_resets(reset: int, code: Code) -> None:
    assert error_of_reset(reset).code == code
