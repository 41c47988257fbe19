from governance.reading import DescriptionError, Reader


def test_an_absent_list_is_read_as_empty_without_a_fault() -> None:
    reader = Reader()
    assert reader.items(("a",), None) == []
    assert reader.mapping(("a",), None) == {}
    assert not reader.errors


def test_a_range_is_named_by_the_ends_it_has() -> None:
    reader = Reader()
    reader.number(("a",), -1, low=0)
    reader.number(("a",), 2, high=1)
    reader.number(("a",), 2, low=0, high=1)
    assert [error.detail for error in reader.errors] == [
        "expected at least 0, got -1",
        "expected at most 1, got 2",
        "expected a number from 0 to 1, got 2",
    ]


def test_the_message_holds_the_first_five_faults() -> None:
    reader = Reader()
    reader.expected((), "an object", [1])
    for at in range(9):
        reader.text((at, "name"), {"a": 1})
    error = DescriptionError(reader.errors)
    assert len(error.errors) == 10
    assert str(error).startswith("body: expected an object, got a list; 0.name: ")
    assert str(error).count(";") == 4
