"""A cheap load generator: prebuilt requests over keep-alive sockets, one thread."""

import selectors
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass


def request(
    method: str, path: str, body: bytes, headers: Mapping[str, str] | None = None
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Result:
    answers: int
    seconds: float
    latencies: list[float]

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds

    def quantile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run(port: int, data: bytes, *, connections: int, seconds: float) -> Result:
    """Send the request over and over; every connection waits for its answer."""
    selector = selectors.DefaultSelector()
    sent_at = {}
    latencies = []
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        sent_at[connection] = time.perf_counter()
        connection.sendall(data)
    started = time.perf_counter()
    ends = started + seconds
    while sent_at:
        for key, _ in selector.select():
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            _read(connection)
            now = time.perf_counter()
            latencies.append(now - sent_at.pop(connection))
            if now < ends:
                sent_at[connection] = now
                connection.sendall(data)
    finished = time.perf_counter()
    for key in list(selector.get_map().values()):
        assert isinstance(key.fileobj, socket.socket)
        key.fileobj.close()
    selector.close()
    return Result(len(latencies), finished - started, latencies)


def _read(connection: socket.socket) -> None:
    """Read one whole answer; anything but success ends the measurement."""
    data = connection.recv(65536)
    if not data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
        raise RuntimeError(f"unexpected answer: {data[:300]!r}")
    head, _, body = data.partition(b"\r\n\r\n")
    lower = head.lower()
    at = lower.index(b"content-length:") + 15
    length = int(lower[at:].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
