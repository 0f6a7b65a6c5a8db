import gzip as standard

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver import deflate


@given(st.lists(st.binary(max_size=3000), max_size=8))
def test_joined_segments_are_one_gzip_body(parts: list[bytes]) -> None:
    body = b"".join(deflate.gzip_parts([deflate.compress(part) for part in parts]))
    assert standard.decompress(body) == b"".join(parts)


def test_a_wrong_crc_would_be_noticed() -> None:
    body = bytearray(deflate.gzip(b"a" * 100))
    body[-8] ^= 1
    with pytest.raises(standard.BadGzipFile):
        standard.decompress(bytes(body))
