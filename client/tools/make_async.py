"""Make `_async.py` from `client.py`: the same calls, awaited.

``python tools/make_async.py`` writes it; the tests check that it is up to date.
"""

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "driftguard_client"
CHANGES = (
    (
        r'^"""Every call[^"]*"""',
        '"""The calls of `client.py`, awaited; made from it by tools/make_async.py."""',
    ),
    (r"^import time$", "import asyncio"),
    (r"\btime\.sleep\(", "await asyncio.sleep("),
    (r"\bDriftGuard\b(?= server)", "@server@"),
    (r"\bclass DriftGuard\b", "class AsyncDriftGuard"),
    (r"-> DriftGuard:", "-> AsyncDriftGuard:"),
    (r"@server@", "DriftGuard"),
    (r"httpx\.BaseTransport", "httpx.AsyncBaseTransport"),
    (r"httpx\.Client\(", "httpx.AsyncClient("),
    (r"__enter__", "__aenter__"),
    (r"__exit__", "__aexit__"),
    (r"^    def (?!__init__)", "    async def "),
    (r"\bself\.(send|close|_deploy)\(", r"await self.\1("),
    (r"\bwith self\._http\.stream", "async with self._http.stream"),
    (r"response\.read\(\)", "await response.aread()"),
    (r"for piece in response\.iter_bytes", "async for piece in response.aiter_bytes"),
    (r"self\._http\.close\(\)", "await self._http.aclose()"),
    (r"self\._http\.request\(", "await self._http.request("),
    (r"shared by threads", "shared by tasks of one event loop"),
)


def converted(source: str) -> str:
    for pattern, replacement in CHANGES:
        source = re.sub(pattern, replacement, source, flags=re.MULTILINE)
    command = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--stdin-filename",
        "_async.py",
        "-",
    ]
    return subprocess.run(
        command, input=source, capture_output=True, text=True, check=True, cwd=PACKAGE
    ).stdout


if __name__ == "__main__":
    text = converted((PACKAGE / "client.py").read_text())
    (PACKAGE / "_async.py").write_text(text)
