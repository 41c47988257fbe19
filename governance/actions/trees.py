"""The Merkle tree over a trail, kept in tiles so that no question costs all of it.

A tile is 256 neighbouring hashes. Whatever of the tree is complete stands in tiles that
never change; the rest is computed from the entries after the last one, which are fewer
than 256, and from the roots of tiles that fill no tile above them yet.
"""

from __future__ import annotations

from functools import lru_cache

from django.db.models import Max

from governance import merkle
from governance.models import AuditEntry, AuditTile, Organization

LEVELS = 8  # of the tree in one tile
WIDTH = 1 << LEVELS
HASH = 32
# How many tiles are read, computed and written at once.
BATCH = 16


def grow(organization: Organization, size: int) -> None:
    """Write the tiles that the first `size` entries complete and nobody wrote yet."""
    level, width = 0, size
    while width >= WIDTH:
        start = _next_index(organization, level)
        end = width >> LEVELS
        for index in range(start, end, BATCH):
            _write(organization, level, index, min(end, index + BATCH))
        level, width = level + 1, end


def _next_index(organization: Organization, level: int) -> int:
    tiles = AuditTile.objects.for_organization(organization).filter(level=level)
    last = tiles.aggregate(last=Max("index"))["last"]
    return 0 if last is None else last + 1


def _write(organization: Organization, level: int, start: int, end: int) -> None:
    hashes = _nodes(organization, level, start * WIDTH, end * WIDTH)
    tiles = [hashes[at : at + WIDTH] for at in range(0, len(hashes), WIDTH)]
    AuditTile.objects.bulk_create(
        [
            AuditTile(
                organization=organization,
                level=level,
                index=index,
                hashes=b"".join(tile),
                root=merkle.root_of_leaves(tile),
            )
            for index, tile in enumerate(tiles, start)
            if len(tile) == WIDTH
        ],
        # Somebody else may have written the same tile meanwhile.
        ignore_conflicts=True,
    )


def _nodes(organization: Organization, level: int, start: int, end: int) -> list[bytes]:
    """Return the hashes that stand at the lowest level of a tile of this level."""
    if level == 0:
        entries = AuditEntry.objects.for_organization(organization).order_by("seq")
        leaves = entries.filter(seq__gt=start, seq__lte=end).values_list("leaf_hash")
        return [bytes(leaf) for (leaf,) in leaves]
    below = AuditTile.objects.for_organization(organization).filter(level=level - 1)
    roots = below.filter(index__gte=start, index__lt=end).order_by("index")
    return [bytes(root) for (root,) in roots.values_list("root")]


def subtrees(organization: Organization) -> merkle.Subtrees:
    """Return what gives complete subtrees; tiles that were read are remembered."""

    @lru_cache(maxsize=64)
    def tile(level: int, index: int) -> list[bytes]:
        tiles = AuditTile.objects.for_organization(organization)
        kept = tiles.filter(level=level, index=index).values_list("hashes").first()
        if kept is None:
            return _nodes(organization, level, index * WIDTH, (index + 1) * WIDTH)
        whole = bytes(kept[0])
        return [whole[at : at + HASH] for at in range(0, len(whole), HASH)]

    def subtree(level: int, index: int) -> bytes:
        of_tile, above = divmod(level, LEVELS)
        first = index << above
        hashes = tile(of_tile, first >> LEVELS)
        start = first % WIDTH
        found = hashes[start : start + (1 << above)]
        if len(found) < 1 << above:
            msg = f"the tree over {organization.slug} has no complete subtree there"
            raise LookupError(msg)
        return merkle.root_of_leaves(found)

    return subtree


def root(organization: Organization, size: int) -> bytes:
    """Return the root over the first `size` entries, whose tiles have been grown."""
    if size == 0:
        return merkle.EMPTY_ROOT
    return merkle.range_hash(0, size, subtrees(organization))
