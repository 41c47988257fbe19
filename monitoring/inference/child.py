"""The process that one artifact predicts in.

It is started as ``python -m monitoring.inference.child`` with a socket as its standard
input. The first message names what to do: ``check`` answers once, ``serve`` answers
until the other side is gone. It has no settings, no secrets and no database; what it
may take is limited before the artifact is looked at.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Any

from monitoring import confinement
from monitoring.inference import sessions, words
from monitoring.inference.words import UnsoundError


def main() -> None:
    """Do what the first message says."""
    with socket.socket(fileno=os.dup(0)) as link:
        head = words.receive(link)
        # If the other side is gone, nobody else ends a process that hangs.
        signal.alarm(math.ceil(head["start_seconds"]) + 1)
        if head["do"] == "check":
            words.send(link, _answer(lambda: _check(head)))
        else:
            _serve(link, head)


def _answer(work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    try:
        return work()
    except UnsoundError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "it takes more memory than is allowed"}


def _confine(head: Mapping[str, Any]) -> None:
    confinement.limit(head["memory"], largest_file=0)
    # What libraries wrote there goes too: nobody clears away after a killed process.
    shutil.rmtree(os.getcwd())


def _check(head: Mapping[str, Any]) -> Mapping[str, Any]:
    from monitoring.inference import soundness

    _confine(head)
    signature = soundness.examine(head["content"], head["schema"])
    sessions.Session(head["content"], signature).probe()
    return {"signature": signature}


def _serve(link: socket.socket, head: Mapping[str, Any]) -> None:
    _confine(head)
    seconds = math.ceil(head["seconds"]) + 1
    session: sessions.Session | None = None

    def start() -> Mapping[str, Any]:
        nonlocal session
        if hashlib.sha256(head["content"]).hexdigest() != head["digest"]:
            raise UnsoundError("its bytes aren't those that were checked")
        session = sessions.Session(head["content"], head["signature"])
        return {}

    words.send(link, _answer(start))
    signal.alarm(0)
    while session is not None:
        columns = words.receive(link)
        signal.alarm(seconds)
        words.send(link, _answer(lambda: session.predict(columns)))  # noqa: B023
        signal.alarm(0)


if __name__ == "__main__":
    try:
        main()
    except (EOFError, OSError):
        os._exit(1)  # the other side is gone
