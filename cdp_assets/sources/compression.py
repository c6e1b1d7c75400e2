"""Stored bytes become plain bytes: gzip streams, with a cap on what they may expand to.

Belongs here: compression alone. Not here: records (`framing`), encodings (`encoding`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import IO, Any, Final

from cdp_assets.settings import Limits
from cdp_assets.sources.contracts import Compression
from cdp_assets.sources.refusal import ObjectRefused

# zlib returns at most this much at a time, whatever the input expands to.
_BLOCK_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 16
# The ratio is judged past this size: small files of zeros are no threat.
_RATIO_FREE_BYTES: Final = 64 << 20
_GZIP_MAGIC: Final = b"\x1f\x8b"
_MAGICS: Final = (
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"PK\x03\x04", "zip"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (_GZIP_MAGIC, "gzip"),
)
_LONGEST_MAGIC: Final = 6


def plain_blocks(handle: IO[bytes], compression: Compression, limits: Limits) -> Iterator[bytes]:
    """The decompressed bytes of an object, block by block, none of them empty.

    Raises:
        ObjectRefused: another compression than declared, a damaged or truncated stream, or more
            bytes than `limits.object_bytes` or `limits.gzip_ratio` allow.
    """
    head = _read(handle, _READ_BYTES)
    _check_magic(head, compression)
    stored = _stored_blocks(head, handle)
    plain = _inflate(stored, limits) if compression == "gzip" else stored
    total = 0
    for block in plain:
        total += len(block)
        if total > limits.object_bytes:
            raise ObjectRefused("too_many_bytes", f"limit {limits.object_bytes} bytes")
        yield block


def _check_magic(head: bytes, compression: Compression) -> None:
    found = next((name for magic, name in _MAGICS if head.startswith(magic)), compression)
    if found != compression:
        raise ObjectRefused("unknown_compression", f"it is {found}, not {compression}")
    if head and compression == "gzip" and not head.startswith(_GZIP_MAGIC):
        raise ObjectRefused("not_gzip")


def _stored_blocks(head: bytes, handle: IO[bytes]) -> Iterator[bytes]:
    block = head
    while block:
        yield block
        block = handle.read(_READ_BYTES)


def _read(handle: IO[bytes], size: int) -> bytes:
    # A network stream may give less than asked for; the magic number must be whole.
    block = handle.read(size)
    while 0 < len(block) < _LONGEST_MAGIC and (more := handle.read(size)):
        block += more
    return block


def _inflate(stored: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """Decompress concatenated gzip members as one stream."""
    member = zlib.decompressobj(wbits=31)
    bytes_in = bytes_out = 0
    for block in stored:
        bytes_in += len(block)
        pending = block
        while pending:
            if member.eof:
                # Some writers pad the end with zeros; gzip itself passes over them.
                pending = pending.lstrip(b"\0")
                if not pending:
                    break
                member = zlib.decompressobj(wbits=31)
            for plain in _decompress(member, pending, bytes_out):
                bytes_out += len(plain)
                if bytes_out > max(_RATIO_FREE_BYTES, limits.gzip_ratio * bytes_in):
                    raise ObjectRefused("gzip_ratio", f"limit {limits.gzip_ratio}")
                yield plain
            pending = member.unused_data
    if bytes_in and not member.eof:
        raise ObjectRefused("truncated_gzip", f"after {bytes_out} bytes")


def _decompress(member: Any, block: bytes, bytes_before: int) -> Iterator[bytes]:
    """What one stored block of one member expands to, in bounded pieces."""
    pending = block
    plain = b"start"
    # A full piece means that zlib may hold more, even after all input went in.
    while not member.eof and (pending or len(plain) == _BLOCK_BYTES):
        try:
            plain = member.decompress(pending, _BLOCK_BYTES)
        except zlib.error as error:
            raise ObjectRefused("corrupt_gzip", f"after {bytes_before} bytes") from error
        pending = member.unconsumed_tail
        if plain:
            yield plain
