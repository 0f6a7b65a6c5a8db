import pytest

from controlplane.store.transform import AES_GCM, PLAIN, AesGcm, Transformers, UnreadableValue

SECRETS, PODS = ("", "secrets"), ("", "pods")
OLD, NEW = b"o" * 32, b"n" * 32


def counting_nonce() -> AesGcm:
    count = iter(range(1000))
    return AesGcm((NEW, OLD), lambda size: next(count).to_bytes(size, "big"))


def test_only_the_chosen_resources_are_encrypted() -> None:
    transformers = Transformers({SECRETS: counting_nonce()})
    sealed = transformers.seal(SECRETS, "/a", b"password")
    assert sealed[:1] == AES_GCM
    assert b"password" not in sealed
    assert transformers.seal(PODS, "/b", b"pod") == PLAIN + b"pod"
    assert transformers.open("/a", sealed) == b"password"
    assert transformers.open("/b", PLAIN + b"pod") == b"pod"


def test_what_was_written_before_encryption_stays_readable() -> None:
    transformers = Transformers({SECRETS: counting_nonce()})
    assert transformers.open("/a", PLAIN + b"password") == b"password"


def test_an_older_key_still_reads() -> None:
    old = Transformers({SECRETS: AesGcm((OLD,), lambda size: b"x" * size)}).seal(SECRETS, "/a", b"password")
    assert Transformers({SECRETS: counting_nonce()}).open("/a", old) == b"password"


def test_equal_values_are_sealed_differently() -> None:
    transformers = Transformers({SECRETS: counting_nonce()})
    assert transformers.seal(SECRETS, "/a", b"same") != transformers.seal(SECRETS, "/a", b"same")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1]), id="a flipped bit"),
        pytest.param(lambda sealed: sealed[:10], id="cut off"),
        pytest.param(lambda sealed: sealed[:1] + b"abcd" + sealed[5:], id="another key"),
        pytest.param(lambda sealed: b"\x63" + sealed[1:], id="an unknown format"),
        pytest.param(lambda sealed: b"", id="empty"),
    ],
)
def test_a_damaged_value_is_refused(damage: object) -> None:
    transformers = Transformers({SECRETS: counting_nonce()})
    sealed = transformers.seal(SECRETS, "/a", b"password")
    with pytest.raises(UnreadableValue, match="/a"):
        transformers.open("/a", damage(sealed))  # type: ignore[operator]


def test_a_value_moved_to_another_key_does_not_decrypt() -> None:
    transformers = Transformers({SECRETS: counting_nonce()})
    with pytest.raises(UnreadableValue):
        transformers.open("/b", transformers.seal(SECRETS, "/a", b"password"))
