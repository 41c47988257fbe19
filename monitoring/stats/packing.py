"""Arrays of counts in few bytes, made to be added up quickly.

Counts of one hour are mostly small, in stretches mostly zero, and in a few places
large. So each block of 256 is stored in the narrowest type that suits most of it, or
not at all, and what is left follows as (index, value) pairs, by type. Adding a stored
array takes a handful of vector operations, however long it is.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Blob = bytes | memoryview

BLOCK = 256

_TYPES = tuple(np.dtype(code) for code in ("<i1", "<i2", "<i4", "<i8"))
# Holds the sum of so many arrays of the type.
_WIDER = tuple(np.dtype(code) for code in ("<i4", "<i4", "<i8", "<i8"))
_MOST_ARRAYS = 1 << 15
_SIZES = np.array([dtype.itemsize for dtype in _TYPES])
_FLOAT = np.dtype("<f8")
# Numbers of blocks, then of pairs, of each type.
_GROUPS = struct.Struct("<8I")
_DENSE, _SPARSE = 0, 1
_SUMS = struct.Struct("<BI")


def blocks_of(length: int) -> NDArray[np.int64]:
    """Return zeros in rows of one block, enough for an array of that length."""
    return np.zeros((-(-length // BLOCK), BLOCK), np.int64)


def pack_ints(values: Ints) -> bytes:
    """Return the array in few bytes; `IntsTotal` is the way back."""
    blocks = blocks_of(len(values))
    blocks.reshape(-1)[: len(values)] = values
    widths = _widths(blocks)
    nonzero = blocks != 0
    chosen = _choose(widths, nonzero, _index_type(len(values)).itemsize)
    dense, sparse = [], []
    numbers = []
    for width, dtype in enumerate(_TYPES):
        rows = np.flatnonzero(chosen == width)
        fitting = np.where(widths[rows] <= width, blocks[rows], 0)
        numbers.append(len(rows))
        dense += [_index(rows, len(blocks)), fitting.astype(dtype).tobytes()]
    left = nonzero & (widths > chosen[:, np.newaxis])
    for width, dtype in enumerate(_TYPES):
        where = np.flatnonzero(left & (widths == width))
        numbers.append(len(where))
        sparse += [_index(where, len(values)), values[where].astype(dtype).tobytes()]
    return b"".join((_GROUPS.pack(*numbers), *dense, *sparse))


class IntsTotal:
    """The sum of stored arrays of one length.

    Arrays of the hours of one column have most of their values in the same blocks.
    These are added up by themselves, in a type hardly wider than the stored one, and
    reach their places once, at the end: a sixth of the work.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._blocks = blocks_of(length)
        # Type and places of blocks → their sum, and how many arrays are in it.
        self._dense: dict[tuple[int, bytes], tuple[NDArray[Any], int]] = {}

    def add(self, data: Blob, at: int) -> int:
        """Add a stored array; return the offset behind it."""
        numbers = _GROUPS.unpack_from(data, at)
        at += _GROUPS.size
        index_size = _index_type(len(self._blocks)).itemsize
        for place, number in enumerate(numbers[:4]):
            if number:
                rows = bytes(data[at : at + number * index_size])
                at += len(rows)
                values = np.frombuffer(data, _TYPES[place], number * BLOCK, at)
                at += values.nbytes
                self._add_dense(place, rows, values)
        flat = self._blocks.reshape(-1)
        for number, dtype in zip(numbers[4:], _TYPES, strict=True):
            if number:
                where = np.frombuffer(data, _index_type(self.length), number, at)
                at += where.nbytes
                values = np.frombuffer(data, dtype, number, at)
                at += values.nbytes
                # an index occurs once, so that fancy indexing adds all
                flat[where] += values
        return at

    def _add_dense(self, place: int, rows: bytes, values: NDArray[Any]) -> None:
        total, arrays = self._dense.pop((place, rows), (None, 0))
        if total is None:
            total = values.astype(_WIDER[place])
        else:
            np.add(total, values, out=total)
        self._dense[place, rows] = total, arrays + 1
        if arrays + 1 == _MOST_ARRAYS:
            self._place()

    def _place(self) -> None:
        for (_, rows), (total, _) in self._dense.items():
            where = np.frombuffer(rows, _index_type(len(self._blocks)))
            self._blocks[where] += total.reshape(-1, BLOCK)
        self._dense.clear()

    def result(self) -> Ints:
        """Return the sum of what was added."""
        self._place()
        return self._blocks.reshape(-1)[: self.length]


def pack_sums(values: Floats) -> bytes:
    """Return the array, dense or as (index, value) pairs."""
    where = np.flatnonzero(values)
    pair = _index_type(len(values)).itemsize + _FLOAT.itemsize
    if len(where) * pair < len(values) * _FLOAT.itemsize:
        head = _SUMS.pack(_SPARSE, len(where))
        body = _index(where, len(values)) + values[where].astype(_FLOAT).tobytes()
    else:
        head = _SUMS.pack(_DENSE, len(values))
        body = values.astype(_FLOAT).tobytes()
    return head + body


def add_sums(into: Floats, data: Blob, at: int) -> int:
    """Add a stored array in place; return the offset behind it."""
    number: int
    layout, number = _SUMS.unpack_from(data, at)
    at += _SUMS.size
    if layout == _DENSE:
        into += np.frombuffer(data, _FLOAT, number, at)
        return at + number * _FLOAT.itemsize
    where = np.frombuffer(data, _index_type(len(into)), number, at)
    at += where.nbytes
    into[where] += np.frombuffer(data, _FLOAT, number, at)
    return at + number * _FLOAT.itemsize


def _index_type(length: int) -> np.dtype[Any]:
    return np.dtype("<u2") if length <= 1 << 16 else np.dtype("<u4")


def _index(where: NDArray[np.intp], length: int) -> bytes:
    return where.astype(_index_type(length)).tobytes()


def _widths(values: Ints) -> NDArray[np.int8]:
    """Return the position in `_TYPES` of the narrowest type that holds each value."""
    result = np.zeros(values.shape, np.int8)
    for dtype in _TYPES[:-1]:
        limits = np.iinfo(dtype)
        result += (values < limits.min) | (values > limits.max)
    return result


def _choose(
    widths: NDArray[np.int8], nonzero: NDArray[np.bool_], index_size: int
) -> NDArray[np.intp]:
    """Return the type in which each block takes fewest bytes, -1 for pairs alone."""
    counts = np.stack(
        [((widths == width) & nonzero).sum(axis=1) for width in range(len(_TYPES))],
        axis=1,
    )
    pairs = counts * (index_size + _SIZES)
    # what is too wide for a type, from the widest down
    beyond = np.cumsum(pairs[:, ::-1], axis=1)[:, ::-1]
    costs = np.zeros((len(counts), len(_TYPES) + 1), np.int64)
    costs[:, 0] = beyond[:, 0]
    costs[:, 1:] = BLOCK * _SIZES
    costs[:, 1:-1] += beyond[:, 1:]
    best: NDArray[np.intp] = np.argmin(costs, axis=1)
    return best - 1
