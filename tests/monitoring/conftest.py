"""The caches of the hot path outlive a test's database; its ids come again."""

from collections.abc import Iterator

import pytest

from governance.actions import credentials
from monitoring.ingest import catalog


@pytest.fixture(autouse=True)
def _empty_caches() -> Iterator[None]:
    catalog.forget()
    credentials.forget()
    yield
    catalog.forget()
    credentials.forget()
