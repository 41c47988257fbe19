import os
from datetime import UTC, datetime, timedelta
from threading import Thread
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import identifiers
from governance.identifiers import IdentifierError

# The example pairs published with the TypeID specification (spec/valid.yml, v0.3).
PUBLISHED = [
    ("prefix_00000000000000000000000000", "00000000-0000-0000-0000-000000000000"),
    ("prefix_00000000000000000000000001", "00000000-0000-0000-0000-000000000001"),
    ("prefix_0000000000000000000000000a", "00000000-0000-0000-0000-00000000000a"),
    ("prefix_0000000000000000000000000g", "00000000-0000-0000-0000-000000000010"),
    ("prefix_00000000000000000000000010", "00000000-0000-0000-0000-000000000020"),
    ("prefix_7zzzzzzzzzzzzzzzzzzzzzzzzz", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    ("prefix_0123456789abcdefghjkmnpqrs", "0110c853-1d09-52d8-d73e-1194e95b5f19"),
    ("prefix_01h455vb4pex5vsknk084sn02q", "01890a5d-ac96-774b-bcce-b302099a8057"),
]


@pytest.mark.parametrize(("text", "identifier"), PUBLISHED)
def test_the_published_pairs_translate_both_ways(text: str, identifier: str) -> None:
    assert identifiers.encode("prefix", UUID(identifier)) == text
    assert identifiers.decode("prefix", text) == UUID(identifier)


@given(st.lists(st.uuids()))
def test_any_list_survives_the_way_there_and_back(values: list[UUID]) -> None:
    texts = identifiers.encode_all("drift_job", values)
    assert all(len(text) == len("drift_job_") + 26 for text in texts)
    assert identifiers.decode_all("drift_job", texts) == values


@given(st.uuids(), st.uuids())
def test_texts_sort_as_their_identifiers(one: UUID, other: UUID) -> None:
    texts = identifiers.encode_all("pred", [one, other])
    assert (texts[0] < texts[1]) == (one < other)


@pytest.mark.parametrize(
    "text",
    [
        "gt_01h455vb4pex5vsknk084sn02q",  # another kind
        "01h455vb4pex5vsknk084sn02q",  # no kind
        "pred_8zzzzzzzzzzzzzzzzzzzzzzzzz",  # 2^128 and more
        "pred_01H455VB4PEX5VSKNK084SN02Q",  # upper case
        "pred_01h455vb4pex5vsknk084sn02",  # a character short
        "pred_01h455vb4pex5vsknk084sn02q\n",
        "pred_01h455vb4pex5vsknk084sn0_q",  # int() would take the underscore
        "pred_01h455vb4pex5vsknk084sn0iq",  # no i, l, o, u in this alphabet
        "pred_\u06601h455vb4pex5vsknk084sn02q",  # a digit, but not of this alphabet
        "",
    ],
)
def test_anything_but_the_exact_form_is_refused(text: str) -> None:
    with pytest.raises(IdentifierError, match="expected pred_") as refusal:
        identifiers.decode("pred", text)
    assert isinstance(refusal.value, ValueError)
    assert refusal.value.code == "identifier"


@pytest.mark.parametrize("prefix", ["", "Pred", "_pred", "pred_", "p1", "a" * 64])
def test_a_prefix_outside_the_specification_is_refused(prefix: str) -> None:
    with pytest.raises(IdentifierError, match="prefix"):
        identifiers.encode(prefix, UUID(int=1))


def test_made_identifiers_are_version_7_and_carry_the_time() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = identifiers.uuid7()
    assert made.version == 7
    assert made.variant == RFC_4122
    assert UUID(str(made)) == made
    assert before <= identifiers.made_at(made) <= datetime.now(UTC)


def test_identifiers_rise_over_calls_batches_and_threads() -> None:
    made: list[list[UUID]] = []

    def make() -> None:
        made.extend(identifiers.uuid7s(50) for _ in range(40))

    threads = [Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(batch == sorted(batch) for batch in made)
    assert len({one for batch in made for one in batch}) == 4 * 40 * 50
    rest = identifiers.uuid7s(1000) + [identifiers.uuid7() for _ in range(1000)]
    assert rest == sorted(rest)
    assert identifiers.uuid7s(0) == []


def test_a_clock_that_goes_backwards_changes_nothing() -> None:
    ahead = identifiers.uuid7()
    identifiers._clock.milliseconds += 60_000
    later = identifiers.uuid7s(3)
    assert ahead < later[0] < later[1] < later[2] < identifiers.uuid7()
    identifiers._clock.start()


def test_a_full_counter_moves_to_the_next_millisecond() -> None:
    identifiers.uuid7()
    identifiers._clock.milliseconds += 60_000
    identifiers._clock.counter = (1 << 74) - 10
    moment = identifiers._clock.milliseconds
    made = identifiers.uuid7s(3)
    assert made[0].int >> 80 == moment + 1
    assert made == sorted(made)
    identifiers._clock.start()


def test_a_forked_process_starts_its_own_counter() -> None:
    identifiers.uuid7()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(identifiers._clock.milliseconds).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 99) == b"-1"


def test_the_lowest_identifier_of_a_moment_bounds_what_is_made_then() -> None:
    made = identifiers.uuid7()
    moment = identifiers.made_at(made)
    assert identifiers.lowest_at(moment) < made
    assert made < identifiers.lowest_at(moment + timedelta(milliseconds=1))
    with pytest.raises(IdentifierError, match="1969"):
        identifiers.lowest_at(datetime(1969, 12, 31, tzinfo=UTC))
