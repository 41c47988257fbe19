"""The Merkle tree of RFC 6962, section 2.1: one hash that covers a list in its order.

A leaf is hashed behind a zero byte and an inner node behind a one, so that neither can
be passed off as the other. A tree only ever grows at its right edge; what is complete
never changes again. So a `Frontier` is all that growing needs, and proofs are made of
complete subtrees, wherever those are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import TypeAlias

EMPTY_ROOT = sha256().digest()

# Gives the hash of a complete subtree: of 2^level leaves, the how-manieth such one.
Subtrees: TypeAlias = Callable[[int, int], bytes]


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of one entry.

    >>> leaf_hash(b"").hex()[:16]
    '6e340b9cffb37a98'
    """
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\1" + left + right).digest()


def root(entries: Iterable[bytes]) -> bytes:
    """Return the root over the entries; that of no entries is the hash of nothing."""
    return root_of_leaves([sha256(b"\0" + entry).digest() for entry in entries])


def root_of_leaves(hashes: Sequence[bytes]) -> bytes:
    """Return the root over the hashes of leaves.

    Joining neighbours level by level, an odd one out going up as it is, gives the same
    tree as the RFC's split at the largest power of two, without its recursion.
    """
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        last = level[-1:] if len(level) % 2 else []
        level = [sha256(b"\1" + left + right).digest() for left, right in pairs]
        level += last
    return level[0]


class Frontier:
    """The right edge of a growing tree: one complete subtree per 1 bit of its size.

    Adding a leaf costs two hashes on average and the root at most one per level,
    however large the tree is.
    """

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        # The largest and leftmost first.
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            msg = f"{len(self.hashes)} subtrees are no frontier of {size} leaves"
            raise ValueError(msg)

    def add(self, leaf: bytes) -> None:
        """Append the hash of a leaf."""
        size = self.size
        while size & 1:
            leaf = sha256(b"\1" + self.hashes.pop() + leaf).digest()
            size >>= 1
        self.hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root of the tree as it is now."""
        if not self.hashes:
            return EMPTY_ROOT
        whole = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            whole = node_hash(left, whole)
        return whole


def subtrees_of(leaves: Sequence[bytes]) -> Subtrees:
    """Return the complete subtrees over a list of hashes of leaves."""

    def subtree(level: int, index: int) -> bytes:
        return root_of_leaves(leaves[index << level : (index + 1) << level])

    return subtree


def range_hash(start: int, end: int, subtrees: Subtrees) -> bytes:
    """Return the hash of a node of the tree: that over the leaves of a range.

    The range is one that the RFC's splitting arrives at: it starts at a multiple of the
    power of two that is at least its length.
    """
    length = end - start
    if length & (length - 1) == 0:
        level = length.bit_length() - 1
        return subtrees(level, start >> level)
    middle = start + _split(length)
    left = range_hash(start, middle, subtrees)
    return node_hash(left, range_hash(middle, end, subtrees))


def _split(length: int) -> int:
    """Return the largest power of two below `length`."""
    return 1 << (length - 1).bit_length() - 1


def _way_down(index: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield start, middle and end of each node above the leaf, from the root down."""
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        yield start, middle, end
        start, end = (start, middle) if index < middle else (middle, end)


def inclusion_proof(index: int, size: int, subtrees: Subtrees) -> list[bytes]:
    """Return the audit path of RFC 6962, section 2.1.1, of the leaf at `index`.

    Raises
    ------
    ValueError
        The tree of that size has no such leaf.
    """
    if not 0 <= index < size:
        msg = f"a tree of {size} leaves has none at {index}"
        raise ValueError(msg)
    path = [
        range_hash(middle, end, subtrees)
        if index < middle
        else range_hash(start, middle, subtrees)
        for start, middle, end in _way_down(index, size)
    ]
    return path[::-1]


def consistency_proof(first: int, second: int, subtrees: Subtrees) -> list[bytes]:
    """Return the proof of RFC 6962, section 2.1.2, that the second tree goes on.

    Raises
    ------
    ValueError
        The first tree is empty, or larger than the second.
    """
    if not 0 < first <= second:
        msg = f"no tree of {second} leaves goes on from one of {first}"
        raise ValueError(msg)
    path = []
    lowest = (0, second)
    for start, middle, end in _way_down(first - 1, second):
        if first == end:
            break
        halves = [(start, middle), (middle, end)]
        lowest, other = halves if first <= middle else halves[::-1]
        path.append(range_hash(*other, subtrees))
    # Whoever reads the proof knows the first tree; part of it they have to be told.
    if lowest[0] > 0:
        path.append(range_hash(*lowest, subtrees))
    return path[::-1]


def is_included(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Tell whether the proof leads from the hash of a leaf to the root."""
    if not 0 <= index < size:
        return False
    middles = [middle for _, middle, _ in _way_down(index, size)]
    if len(proof) != len(middles):
        return False
    found = leaf
    for middle, sibling in zip(reversed(middles), proof, strict=True):
        is_left = index < middle
        found = node_hash(found, sibling) if is_left else node_hash(sibling, found)
    return found == root


def is_consistent(
    first: int,
    second: int,
    first_root: bytes,
    second_root: bytes,
    proof: Sequence[bytes],
) -> bool:
    """Tell whether the proof leads to the roots of both trees."""
    if not 0 < first <= second:
        return False
    way = [
        first > middle
        for _, middle, end in _way_down(first - 1, second)
        if first != end
    ]
    known = list(proof) if any(way) else [first_root, *proof]
    if len(known) != len(way) + 1:
        return False
    before = after = known[0]
    for is_right, sibling in zip(reversed(way), known[1:], strict=True):
        if is_right:
            before = node_hash(sibling, before)
        after = node_hash(sibling, after) if is_right else node_hash(after, sibling)
    return before == first_root and after == second_root
