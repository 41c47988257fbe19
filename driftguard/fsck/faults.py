from typing import NamedTuple


class Fault(NamedTuple):
    """Something that is not as it has to be, in a row of a table."""

    table: str
    row: str  # its key; empty where a row is missing
    what: str

    def __str__(self) -> str:
        return f"{self.table} {self.row}: {self.what}"
