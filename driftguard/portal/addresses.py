"""Where a list goes on: its own address with another page."""

from django.http import QueryDict


def page_address(asked: QueryDict, number: int) -> str:
    """Return the address of another page of what was asked for."""
    given = asked.copy()
    given["page"] = str(number)
    return f"?{given.urlencode()}"
