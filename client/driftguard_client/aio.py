"""The monitor for asyncio: logging never waits anyway, so only the end is awaited."""

from __future__ import annotations

import asyncio
from types import TracebackType

from driftguard_client.monitor import Monitor


class AsyncMonitor(Monitor):
    """A `Monitor` whose `aflush` and `aclose` leave the event loop free."""

    async def aflush(self, timeout: float = 30.0) -> bool:
        """Wait until the server has everything; False if the time is over before."""
        return await asyncio.to_thread(self.flush, timeout)

    async def aclose(self, timeout: float = 5.0) -> None:
        """Send what can be sent within `timeout` seconds; the spool keeps the rest."""
        await asyncio.to_thread(self.close, timeout)

    async def __aenter__(self) -> AsyncMonitor:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
