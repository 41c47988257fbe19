"""Additive counts: the state of which every live figure is a function."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from monitoring.stats.packing import (
    Blob,
    IntsTotal,
    add_sums,
    pack_ints,
    pack_sums,
)
from monitoring.stats.packing import Floats as Floats
from monitoring.stats.packing import Ints as Ints

Unseen = dict[str, dict[str, int]]

OTHER = "__other__"
MAX_UNSEEN_NAMES = 1_000

_VERSION = 1
# version, lengths of ints and sums, bytes of the names
_HEADER = struct.Struct("<BIII")


@dataclass(slots=True, eq=False)
class Tally:
    """Counts that add: those of two sets of rows are the sum of their counts.

    Attributes
    ----------
    ints : int64 array, shape (L,)
        Counts; negative ones are legal (a correction is -old +new).
    sums : float64 array, shape (S,)
        Sums of values.
    unseen : dict of dict
        Column → name → count, for categories that the layout has no place for.
        The first `MAX_UNSEEN_NAMES` names of a column in alphabetical order are
        exact; the others share the name ``__other__``. Totals are always exact.

    Examples
    --------
    >>> one = Tally(np.array([1, 2]), np.array([0.5]), {"city": {"Oslo": 1}})
    >>> both = one + one
    >>> both.ints.tolist(), both.sums.tolist(), both.unseen
    ([2, 4], [1.0], {'city': {'Oslo': 2}})
    >>> Tally.from_bytes(both.to_bytes(), 2, 1) == both
    True

    """

    ints: Ints
    sums: Floats
    unseen: Unseen = field(default_factory=dict)

    @classmethod
    def empty(cls, ints_length: int, sums_length: int) -> Self:
        """Return the tally of no rows."""
        return cls(np.zeros(ints_length, np.int64), np.zeros(sums_length), {})

    def copy(self) -> Self:
        """Return a tally that shares no memory with this one."""
        unseen = {column: dict(names) for column, names in self.unseen.items()}
        return type(self)(self.ints.copy(), self.sums.copy(), unseen)

    def __add__(self, other: Self) -> Self:
        result = self.copy()
        result += other
        return result

    def __sub__(self, other: Self) -> Self:
        result = self.copy()
        result -= other
        return result

    def __iadd__(self, other: Self) -> Self:
        with np.errstate(over="ignore", invalid="ignore"):
            self.ints += other.ints
            self.sums += other.sums
        _merge_unseen(self.unseen, other.unseen, 1)
        return self

    def __isub__(self, other: Self) -> Self:
        with np.errstate(over="ignore", invalid="ignore"):
            self.ints -= other.ints
            self.sums -= other.sums
        _merge_unseen(self.unseen, other.unseen, -1)
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tally):
            return NotImplemented
        return (
            np.array_equal(self.ints, other.ints)
            and np.array_equal(self.sums, other.sums, equal_nan=True)
            and self.unseen == other.unseen
        )

    def add_unseen(self, column: str, names: Mapping[str, int]) -> None:
        """Add counts of one column's categories, by name, in place."""
        _merge_unseen(self.unseen, {column: names}, 1)

    def to_bytes(self) -> bytes:
        """Return the tally in few bytes (see `packing`)."""
        names = _unseen_json(self.unseen)
        header = _HEADER.pack(_VERSION, len(self.ints), len(self.sums), len(names))
        return b"".join((header, pack_ints(self.ints), pack_sums(self.sums), names))

    @classmethod
    def from_bytes(cls, data: Blob, ints_length: int, sums_length: int) -> Self:
        """Return what `to_bytes` wrote.

        Raises
        ------
        ValueError
            The bytes are cut, of another version, or of other lengths.

        """
        return cls.merge_bytes((data,), ints_length, sums_length)

    @classmethod
    def merge_bytes(
        cls, blobs: Iterable[Blob], ints_length: int, sums_length: int
    ) -> Self:
        """Return the sum of many stored tallies, one vector add for each.

        Raises
        ------
        ValueError
            As `from_bytes`.

        """
        ints = IntsTotal(ints_length)
        total = cls(np.zeros(0, np.int64), np.zeros(sums_length), {})
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                for blob in blobs:
                    _add_bytes(total, ints, blob)
                total.ints = ints.result()
        except (struct.error, IndexError) as error:
            raise ValueError(f"damaged tally: {error}") from error
        return total


def fold(names: Mapping[str, int]) -> dict[str, int]:
    """Return one column's names without zeros, the surplus under ``__other__``.

    Which names stay depends on their order alone, never on their counts: a name
    among the first thousand of a union is among the first thousand of each part
    in which it occurs. So merging in any order keeps the same names, with exact
    counts.
    """
    kept = {name: count for name, count in names.items() if count}
    other = kept.pop(OTHER, 0)
    if len(kept) > MAX_UNSEEN_NAMES:
        for name in sorted(kept)[MAX_UNSEEN_NAMES:]:
            other += kept.pop(name)
    if other:
        kept[OTHER] = other
    return kept


def _merge_unseen(
    into: Unseen, more: Mapping[str, Mapping[str, int]], sign: int
) -> None:
    for column, names in more.items():
        merged = dict(into.get(column, {}))
        ends = [
            end for end in (_last_exact(merged), _last_exact(names)) if end is not None
        ]
        for name, count in names.items():
            merged[name] = merged.get(name, 0) + sign * count
        if ends:
            for name in [n for n in merged if n != OTHER and n > min(ends)]:
                merged[OTHER] += merged.pop(name)
        merged = fold(merged)
        if merged:
            into[column] = merged
        else:
            into.pop(column, None)


def _last_exact(names: Mapping[str, int]) -> str | None:
    """Return the name behind which all are folded, None if nothing is folded yet."""
    if OTHER not in names:
        return None
    return max((name for name in names if name != OTHER), default="")


def _unseen_json(unseen: Unseen) -> bytes:
    if not unseen:
        return b""
    # a lone surrogate must not make a tally unwritable: ASCII escapes it
    return json.dumps(unseen, sort_keys=True, separators=(",", ":")).encode("ascii")


def _add_bytes(total: Tally, ints: IntsTotal, blob: Blob) -> None:
    """Add a stored tally, whose ints go to a total of their own."""
    version, ints_length, sums_length, names = _HEADER.unpack_from(blob)
    if version != _VERSION:
        raise ValueError(f"tally of version {version}, expected {_VERSION}")
    if (ints_length, sums_length) != (ints.length, len(total.sums)):
        raise ValueError(
            f"tally of {ints_length} ints and {sums_length} sums, "
            f"expected {ints.length} and {len(total.sums)}"
        )
    at = ints.add(blob, _HEADER.size)
    at = add_sums(total.sums, blob, at)
    if at + names != len(blob):
        raise ValueError(f"damaged tally: {len(blob)} bytes, expected {at + names}")
    if names:
        _merge_unseen(total.unseen, json.loads(bytes(blob[at:])), 1)
