"""Gzip bodies put together from parts that were compressed on their own, so that unchanged parts are compressed once.

RFC 1951 lets a deflate stream be cut at byte boundaries after a full flush; RFC 1952 wants the CRC of the whole, which
is combined from the parts' CRCs as zlib's crc32_combine does. Pure: bytes in, bytes out.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

LEVEL = 1
"""What kube-apiserver uses: higher levels cost several times the CPU for a few percent."""
RAW_WINDOW_BITS = -15
HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate, no name, no time, unknown system."""
LAST_BLOCK = b"\x03\x00"
POLYNOMIAL = 0xEDB88320
"""Of CRC-32, bits reversed; polynomials below are in the same order, so 1 << 31 is x to the power of 0."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Compressed bytes that any other segment may follow."""

    data: bytes
    crc: int
    size: int
    """Bytes before compression."""
    shift: int
    """x^(8 * size) modulo the polynomial: what a CRC is multiplied by when this segment follows it."""


def compress(plain: bytes) -> Segment:
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, RAW_WINDOW_BITS)
    data = compressor.compress(plain) + compressor.flush(zlib.Z_FULL_FLUSH)
    return Segment(data, zlib.crc32(plain), len(plain), _power(8 * len(plain)))


def join(segments: Sequence[Segment]) -> Segment:
    """One segment that stands for all, in their order."""
    crc = reduce(lambda crc, segment: _multiply(segment.shift, crc) ^ segment.crc, segments, 0)
    size = sum(segment.size for segment in segments)
    return Segment(b"".join([segment.data for segment in segments]), crc, size, _power(8 * size))


def gzip_parts(segments: Sequence[Segment]) -> list[bytes]:
    """The pieces of one gzip body; joined they are the whole."""
    whole = join(segments)
    return [HEADER, whole.data, LAST_BLOCK + struct.pack("<II", whole.crc, whole.size & 0xFFFFFFFF)]


def gzip(plain: bytes) -> bytes:
    """A whole body at once."""
    return b"".join(gzip_parts((compress(plain),)))


def _multiply(a: int, b: int) -> int:
    """The product of two polynomials modulo the CRC's."""
    product, bit = 0, 1 << 31
    while bit:
        if a & bit:
            product ^= b
        bit >>= 1
        b = (b >> 1) ^ POLYNOMIAL if b & 1 else b >> 1
    return product


def _squares() -> list[int]:
    """x^(2^n) for n below 32."""
    found = [1 << 30]
    while len(found) < 32:
        found.append(_multiply(found[-1], found[-1]))
    return found


_SQUARES = _squares()


def _power(exponent: int) -> int:
    """x^exponent; the squares repeat after 32 since x^(2^32) = x modulo the polynomial."""
    power, index = 1 << 31, 0
    while exponent:
        if exponent & 1:
            power = _multiply(_SQUARES[index % 32], power)
        exponent >>= 1
        index += 1
    return power
