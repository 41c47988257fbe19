"""The Merkle tree of RFC 6962, section 2.1: one hash that covers a list in its order.

A leaf is hashed behind a zero byte and an inner node behind a one, so that neither can
be passed off as the other.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256().digest()


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of one entry.

    >>> leaf_hash(b"").hex()[:16]
    '6e340b9cffb37a98'
    """
    return sha256(b"\0" + data).digest()


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
