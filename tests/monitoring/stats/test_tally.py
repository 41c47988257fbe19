import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitoring.stats.tally import MAX_UNSEEN_NAMES, OTHER, Tally, fold

ints = st.one_of(
    st.just(0), st.integers(-200, 200), st.integers(-(2**40), 2**40), st.just(2**62)
)
names = st.dictionaries(st.text(max_size=3), st.integers(1, 5), max_size=4)


@st.composite
def tallies(draw: st.DrawFn, length: int = 30, sums: int = 5) -> Tally:
    return Tally(
        draw(arrays(np.int64, length, elements=ints, fill=st.just(0))),
        draw(arrays(np.float64, sums, elements=st.sampled_from([0.0, 0.5, -3.0, 1e6]))),
        draw(st.dictionaries(st.sampled_from(["a", "b"]), names.filter(bool))),
    )


def make_tally(value: int, length: int = 4) -> Tally:
    return Tally(np.full(length, value), np.full(2, float(value)), {})


@given(tallies())
def test_bytes_give_back_the_same_tally(tally: Tally) -> None:
    assert Tally.from_bytes(tally.to_bytes(), 30, 5) == tally


@given(tallies(), tallies(), tallies())
def test_merging_bytes_is_adding(one: Tally, two: Tally, three: Tally) -> None:
    blobs = [tally.to_bytes() for tally in (one, two, three)]
    assert Tally.merge_bytes(blobs, 30, 5) == one + two + three


@given(tallies(), tallies())
def test_subtracting_takes_back_what_was_added(one: Tally, two: Tally) -> None:
    assert (one + two) - two == one


def test_adding_leaves_both_sides_untouched() -> None:
    one, two = make_tally(1), make_tally(2)
    one.unseen["a"] = {"x": 1}
    total = one + two
    total.ints[0] = 99
    total.unseen["a"]["x"] = 99
    assert one.ints[0] == 1
    assert two.ints[0] == 2
    assert one.unseen == {"a": {"x": 1}}


def test_iadd_works_in_place() -> None:
    one = make_tally(1)
    array = one.ints
    one += make_tally(2)
    assert one.ints is array
    assert array.tolist() == [3, 3, 3, 3]


def test_tallies_differ_in_any_part() -> None:
    one = make_tally(1)
    other_sums = Tally(one.ints, one.sums + 1, {})
    other_names = Tally(one.ints, one.sums, {"a": {"x": 1}})
    assert one != make_tally(2)
    assert one != other_sums
    assert one != other_names
    assert one != "tally"


def test_merging_nothing_is_the_empty_tally() -> None:
    assert Tally.merge_bytes([], 3, 2) == Tally.empty(3, 2)


@pytest.mark.parametrize(
    ("value", "size"), [(1, 1), (-128, 1), (128, 2), (40_000, 4), (2**33, 8)]
)
def test_ints_take_the_narrowest_type(value: int, size: int) -> None:
    length = 4 * 256
    overhead = len(Tally.empty(length, 0).to_bytes())
    tally = Tally(np.full(length, value), np.zeros(0), {})
    blocks = 4 * 2  # two bytes say which block
    assert len(tally.to_bytes()) - overhead - blocks == length * size


def test_small_and_large_stretches_are_stored_each_in_its_type() -> None:
    counts = np.zeros(100 * 256, np.int64)
    counts[: 10 * 256] = 100
    counts[20 * 256 : 30 * 256] = 10_000
    tally = Tally(counts, np.zeros(0), {})
    assert len(tally.to_bytes()) < 10 * 256 * 3 + 200
    assert Tally.from_bytes(tally.to_bytes(), len(counts), 0) == tally


def test_damaged_indices_are_refused() -> None:
    tally = Tally.empty(300, 0)
    tally.ints[-1] = 1
    damaged = tally.to_bytes()[:-8] + b"\xff\xff" + tally.to_bytes()[-6:]
    with pytest.raises(ValueError, match="damaged tally"):
        Tally.from_bytes(damaged, 300, 0)


def test_few_large_counts_do_not_widen_the_many_small_ones() -> None:
    counts = np.ones(1_000, np.int64)
    counts[7] = 10**9
    tally = Tally(counts, np.zeros(0), {})
    assert len(tally.to_bytes()) < 1_100
    assert Tally.from_bytes(tally.to_bytes(), 1_000, 0) == tally


def test_few_counts_are_stored_sparse_beyond_65536_too() -> None:
    for length in (65_536, 65_537):
        tally = Tally.empty(length, 1_000)
        tally.ints[-1], tally.sums[-1] = 3, 0.25
        assert len(tally.to_bytes()) < 100
        assert Tally.from_bytes(tally.to_bytes(), length, 1_000) == tally


def test_infinite_and_undefined_sums_survive() -> None:
    tally = Tally(np.zeros(1, np.int64), np.array([np.inf, np.nan, -np.inf]), {})
    assert Tally.from_bytes(tally.to_bytes(), 1, 3) == tally
    assert np.isnan((tally - tally).sums[0])


@pytest.mark.parametrize("cut", [0, 5, 30, -1])
def test_cut_bytes_are_refused(cut: int) -> None:
    tally = Tally(np.arange(9), np.arange(4.0), {"a": {"x": 1}})
    with pytest.raises(ValueError, match=r"tally|buffer"):
        Tally.from_bytes(tally.to_bytes()[:cut], 9, 4)


def test_bytes_of_another_version_or_length_are_refused() -> None:
    data = make_tally(1).to_bytes()
    with pytest.raises(ValueError, match="version 9"):
        Tally.from_bytes(b"\x09" + data[1:], 4, 2)
    with pytest.raises(ValueError, match="expected 5 and 2"):
        Tally.from_bytes(data, 5, 2)


def unseen(*names: str) -> Tally:
    return Tally(
        np.zeros(1, np.int64), np.zeros(1), {"id": dict.fromkeys(sorted(names), 1)}
    )


def test_names_beyond_the_thousandth_share_one() -> None:
    folded = fold({f"n{i:05}": 2 for i in range(MAX_UNSEEN_NAMES + 50)})
    assert len(folded) == MAX_UNSEEN_NAMES + 1
    assert folded[OTHER] == 100
    assert folded["n00999"] == 2


def test_folding_does_not_depend_on_the_order_of_merging() -> None:
    chunks = [
        unseen(*(f"n{(i * 7919 + k * 400) % 3000:05}" for i in range(900)))
        for k in range(6)
    ]
    forward = Tally.merge_bytes([c.to_bytes() for c in chunks], 1, 1)
    backward = Tally.merge_bytes([c.to_bytes() for c in reversed(chunks)], 1, 1)
    nested = (chunks[0] + chunks[3]) + ((chunks[5] + chunks[1]) + chunks[2]) + chunks[4]
    assert forward == backward == nested
    assert sum(forward.unseen["id"].values()) == 6 * 900
    plain: dict[str, int] = {}
    for chunk in chunks:
        for name, count in chunk.unseen["id"].items():
            plain[name] = plain.get(name, 0) + count
    assert forward.unseen["id"] == fold(plain)


def test_what_is_folded_stays_folded() -> None:
    folded = unseen(*(f"n{i:05}" for i in range(MAX_UNSEEN_NAMES + 1)))
    folded += unseen("zz")
    assert "zz" not in folded.unseen["id"]
    assert folded.unseen["id"][OTHER] == 2
    smaller = folded - unseen(*(f"n{i:05}" for i in range(500)))
    smaller += unseen("zz")
    assert smaller.unseen["id"][OTHER] == 3
    assert sum(smaller.unseen["id"].values()) == MAX_UNSEEN_NAMES + 3 - 500


def test_a_name_that_is_the_fold_itself_keeps_its_count() -> None:
    only = Tally(np.zeros(1, np.int64), np.zeros(1), {"id": {OTHER: 4}})
    total = only + unseen("a")
    assert total.unseen == {"id": {OTHER: 5}}
    assert (total - total).unseen == {}
