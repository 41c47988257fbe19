"""RFC 6962 trees against the vectors of the certificate-transparency project."""

import hashlib

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import merkle

# The inputs and roots of certificate-transparency's merkle_tree_test.cc.
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_root_is_that_of_the_published_vectors(size: int) -> None:
    assert merkle.root(ENTRIES[:size]).hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert merkle.root([]) == hashlib.sha256(b"").digest()


def by_the_book(hashes: list[bytes]) -> bytes:
    """The recursion of RFC 6962, section 2.1, word for word."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    left, right = by_the_book(hashes[:split]), by_the_book(hashes[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 9, 21, 33, 63, 64, 65, 100])
def test_the_root_is_that_of_the_recursive_definition(size: int) -> None:
    hashes = [merkle.leaf_hash(str(number).encode()) for number in range(size)]
    assert merkle.root_of_leaves(hashes) == by_the_book(hashes)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 100, 257])
def test_a_tree_that_grows_leaf_by_leaf_has_the_same_root(size: int) -> None:
    hashes = [merkle.leaf_hash(str(number).encode()) for number in range(size)]
    frontier = merkle.Frontier()
    for number, leaf in enumerate(hashes):
        assert frontier.root() == merkle.root_of_leaves(hashes[:number])
        frontier.add(leaf)
        assert len(frontier.hashes) == frontier.size.bit_count()
    assert frontier.root() == merkle.root_of_leaves(hashes)
    again = merkle.Frontier(size, frontier.hashes)
    again.add(merkle.leaf_hash(b"more"))
    assert again.root() == merkle.root_of_leaves([*hashes, merkle.leaf_hash(b"more")])


def test_a_frontier_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="1 subtrees are no frontier of 3 leaves"):
        merkle.Frontier(3, [bytes(32)])


LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]
# The paths of certificate-transparency's merkle_tree_test.cc: leaf (from 1), tree.
PATHS = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (3, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (2, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
# And its proofs of consistency: earlier tree, later tree.
PROOFS = {
    (1, 1): [],
    (1, 8): PATHS[1, 8],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


@pytest.mark.parametrize(("leaf", "size"), PATHS)
def test_a_proof_of_inclusion_is_that_of_the_published_vectors(
    leaf: int, size: int
) -> None:
    proof = merkle.inclusion_proof(leaf - 1, size, merkle.subtrees_of(LEAVES))
    assert [one.hex() for one in proof] == PATHS[leaf, size]
    root = bytes.fromhex(ROOTS[size - 1])
    assert merkle.is_included(LEAVES[leaf - 1], leaf - 1, size, proof, root)


@pytest.mark.parametrize(("first", "second"), PROOFS)
def test_a_proof_of_consistency_is_that_of_the_published_vectors(
    first: int, second: int
) -> None:
    proof = merkle.consistency_proof(first, second, merkle.subtrees_of(LEAVES))
    assert [one.hex() for one in proof] == PROOFS[first, second]
    roots = bytes.fromhex(ROOTS[first - 1]), bytes.fromhex(ROOTS[second - 1])
    assert merkle.is_consistent(first, second, *roots, proof)


ORACLE_SIZE = 40


def test_every_proof_is_accepted_by_pymerkle_and_pymerkles_by_us() -> None:
    oracle = pymerkle.InmemoryTree(algorithm="sha256")
    for number in range(ORACLE_SIZE):
        oracle.append_entry(str(number).encode())
    leaves = [merkle.leaf_hash(str(one).encode()) for one in range(ORACLE_SIZE)]
    subtrees = merkle.subtrees_of(leaves)
    for size in range(1, ORACLE_SIZE + 1):
        root = oracle.get_root(size)
        assert root == merkle.root_of_leaves(leaves[:size])
        for index in range(size):
            ours = merkle.inclusion_proof(index, size, subtrees)
            theirs = oracle.prove_inclusion(index + 1, size)
            # pymerkle's paths begin with the leaf itself.
            assert [leaves[index], *ours] == theirs.path
            pymerkle.verify_inclusion(leaves[index], root, theirs)
            assert merkle.is_included(leaves[index], index, size, ours, root)
        for first in range(1, size + 1):
            proof = merkle.consistency_proof(first, size, subtrees)
            earlier = oracle.get_root(first)
            pymerkle.verify_consistency(
                earlier, root, oracle.prove_consistency(first, size)
            )
            assert merkle.is_consistent(first, size, earlier, root, proof)


@given(size=st.integers(1, 70), data=st.data())
def test_a_proof_that_was_touched_proves_nothing(
    size: int, data: st.DataObject
) -> None:
    leaves = [merkle.leaf_hash(str(number).encode()) for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    root = merkle.root_of_leaves(leaves)
    proof = merkle.inclusion_proof(index, size, merkle.subtrees_of(leaves))
    assert merkle.is_included(leaves[index], index, size, proof, root)
    changed = data.draw(
        st.sampled_from(
            [
                (bytes(32), index, size, proof, root),
                (leaves[index], index, size, [*proof, bytes(32)], root),
                (leaves[index], index, size, proof, bytes(32)),
                (leaves[index], size, size, proof, root),
                (leaves[index], -1, size, proof, root),
                *(
                    (leaves[index], index, size, proof[:at] + proof[at + 1 :], root)
                    for at in range(len(proof))
                ),
                *(
                    (leaves[index], other, size, proof, root)
                    for other in range(size)
                    if other != index
                ),
            ]
        )
    )
    assert not merkle.is_included(*changed)


@given(size=st.integers(2, 70), data=st.data())
def test_two_trees_that_differ_are_not_consistent(
    size: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(1, size - 1))
    leaves = [merkle.leaf_hash(str(number).encode()) for number in range(size)]
    earlier = merkle.root_of_leaves(leaves[:first])
    leaves[data.draw(st.integers(0, first - 1))] = bytes(32)
    proof = merkle.consistency_proof(first, size, merkle.subtrees_of(leaves))
    later = merkle.root_of_leaves(leaves)
    assert not merkle.is_consistent(first, size, earlier, later, proof)
    other = merkle.root_of_leaves(leaves[:first])
    assert merkle.is_consistent(first, size, other, later, proof)
    assert not merkle.is_consistent(first, size, other, later, [*proof, bytes(32)])
    assert not merkle.is_consistent(first, size, other, later, proof[:-1])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 2)])
def test_a_leaf_that_is_not_there_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"a tree of {size} leaves has none"):
        merkle.inclusion_proof(index, size, merkle.subtrees_of(LEAVES))


@pytest.mark.parametrize(("first", "second"), [(0, 3), (4, 3), (-1, 2)])
def test_a_tree_goes_on_from_no_larger_and_no_empty_one(
    first: int, second: int
) -> None:
    with pytest.raises(ValueError, match="no tree of"):
        merkle.consistency_proof(first, second, merkle.subtrees_of(LEAVES))
    assert not merkle.is_consistent(first, second, bytes(32), bytes(32), [])
