"""CRC-64/NVME in numpy, written from its definition: what the engine computes is not asked."""

from __future__ import annotations

import numpy as np

_POLYNOMIAL = 0x9A6C9329AC4BC9B5
_ONES = (1 << 64) - 1
_LANES = 4096


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()
_NUMPY_TABLE = np.array(_TABLE, dtype=np.uint64)


def crc64nvme(data: bytes) -> int:
    """CRC-64/NVME; long data goes as many lanes side by side."""
    length = len(data) // _LANES
    state, head = _ONES, len(data) - length * _LANES
    for byte in data[:head]:
        state = _TABLE[(state ^ byte) & 0xFF] ^ state >> 8
    if not length:
        return state ^ _ONES
    lanes = np.ascontiguousarray(np.frombuffer(data, dtype=np.uint8, offset=head).reshape(_LANES, length).T)
    states = np.zeros(_LANES, dtype=np.uint64)
    states[0] = state
    eight = np.uint64(8)
    for column in lanes:
        states = _NUMPY_TABLE[states.astype(np.uint8) ^ column] ^ states >> eight
    columns, state = _over_zeros(length), 0
    for lane in states.tolist():
        state = _apply(columns, state) ^ lane
    return state ^ _ONES


def _apply(columns: list[int], value: int) -> int:
    """A square matrix over GF(2) times a vector."""
    out = 0
    while value:
        low = value & -value
        out ^= columns[low.bit_length() - 1]
        value ^= low
    return out


def _over_zeros(count: int) -> list[int]:
    """What `count` zero bytes do to a state."""
    result = [1 << bit for bit in range(64)]
    power = [_TABLE[value & 0xFF] ^ value >> 8 for value in result]
    while count:
        if count & 1:
            result = [_apply(power, value) for value in result]
        power = [_apply(power, value) for value in power]
        count >>= 1
    return result
