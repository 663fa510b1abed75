"""UUIDs as bytes and as text, hundreds of thousands at once: PostgreSQL keeps the one, the files the other."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Words = np.ndarray[Any, np.dtype[np.uint32]]

LENGTH = 36
DASHES = (8, 13, 18, 23)
GROUPS = ((0, 8), (9, 13), (14, 18), (19, 23), (24, 36))
PLACES = [place for begin, end in GROUPS for place in range(begin, end)]  # of the 32 digits
NOTHING = "00000000-0000-0000-0000-000000000000"


def texts_of_bytes(column: pa.Array) -> pa.Array:
    """`0192…` as PostgreSQL writes it, for an array of 16 bytes each; null stays null."""
    if column.null_count:
        return pc.if_else(column.is_valid(), texts_of_bytes(column.fill_null(bytes(16))), None)
    amount = len(column)
    raw = np.frombuffer(column.buffers()[1] or b"", dtype=np.uint8, count=16 * amount, offset=16 * column.offset)
    raw = np.ascontiguousarray(raw.reshape(amount, 16).T)  # all first bytes, all second ones, …: quick to compute
    texts = np.full((LENGTH, amount), ord("-"), dtype=np.uint8)
    for byte, (high, low) in enumerate(zip(PLACES[::2], PLACES[1::2], strict=True)):
        texts[high], texts[low] = _digit(raw[byte] >> np.uint8(4)), _digit(raw[byte] & np.uint8(15))
    texts = np.ascontiguousarray(texts.T)
    offsets = np.arange(0, LENGTH * (amount + 1), LENGTH, dtype=np.int32)
    return pa.StringArray.from_buffers(amount, pa.py_buffer(offsets), pa.py_buffer(texts))


def bytes_of_texts(column: pa.Array) -> pa.Array:
    """The way back. Raises ValueError where a text is no UUID as PostgreSQL writes it."""
    if column.null_count:
        return pc.if_else(column.is_valid(), bytes_of_texts(column.fill_null(NOTHING)), None)
    raw = np.ascontiguousarray(_bytes_by_place(column).T)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(column), [None, pa.py_buffer(raw)])


def _bytes_by_place(column: pa.Array) -> Bytes:
    """All first bytes, then all second ones, …"""
    amount = len(column)
    offsets = np.frombuffer(column.buffers()[1] or bytes(4), np.int32, count=amount + 1, offset=4 * column.offset)
    if column.null_count or (np.diff(offsets) != LENGTH).any():
        raise ValueError("not every text is a UUID")
    data = np.frombuffer(column.buffers()[2] or b"", np.uint8, count=LENGTH * amount, offset=int(offsets[0]))
    texts = np.ascontiguousarray(data.reshape(amount, LENGTH).T)
    if (texts[DASHES, :] != ord("-")).any():
        raise ValueError("not every text is a UUID")
    raw = np.empty((16, amount), dtype=np.uint8)
    for byte, (high, low) in enumerate(zip(PLACES[::2], PLACES[1::2], strict=True)):
        raw[byte] = (_value(texts[high]) << 4) | _value(texts[low])
    return raw


def _digit(values: Bytes) -> Bytes:
    """The characters from 0 to 9 and from a to f."""
    return values + np.uint8(ord("0")) + (values > 9) * np.uint8(ord("a") - ord("9") - 1)


def _value(digits: Bytes) -> Bytes:
    """Of characters from 0 to 9 and from a to f; what is none becomes some other number, and shows in the CRC."""
    return (digits & np.uint8(15)) + (digits >> np.uint8(6)) * np.uint8(9)


# --- Their CRC-32C, as PostgreSQL's crc32c(uuid_send(…)) --------------------------------------------------------------
# A CRC is linear: that of 16 bytes is what each byte gives at its place, added without carry.


def _of_one_byte() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1).astype(np.uint32)
    return table


def _of_two_bytes() -> Words:
    """What each pair of bytes gives at each of its 8 places; what 16 zero bytes give is in the first."""
    table = _of_one_byte()
    places = np.zeros((16, 256), dtype=np.uint32)
    places[15] = table
    for place in range(14, -1, -1):
        places[place] = (places[place + 1] >> 8) ^ table[places[place + 1] & 0xFF]
    seed = np.uint32(0xFFFFFFFF)
    for _ in range(16):
        seed = (seed >> np.uint32(8)) ^ table[seed & np.uint32(0xFF)]
    places[0] ^= seed ^ np.uint32(0xFFFFFFFF)
    pairs = np.arange(1 << 16)
    return np.stack([places[2 * n][pairs >> 8] ^ places[2 * n + 1][pairs & 0xFF] for n in range(8)])


_PAIRS = _of_two_bytes()


def crc32c_of_texts(column: pa.Array) -> Words:
    raw = _bytes_by_place(column)
    crc = np.zeros(len(column), dtype=np.uint32)
    for place in range(8):
        pair = (raw[2 * place].astype(np.uint16) << np.uint16(8)) | raw[2 * place + 1]
        crc ^= np.take(_PAIRS[place], pair)
    return crc
