"""Knowing that the database is away, so that nobody waits to find out again.

The first request that loses the database opens the circuit. While it is open requests
are refused at once, and one thread knocks until the database answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import InterfaceError, OperationalError, connection

from governance.exceptions import UnavailableError

KNOCK_SECONDS = 0.25
# Classes of SQLSTATE: the connection is gone, or the server has none to give.
_LOST = ("08", "57P", "53300")

_is_away = threading.Event()
# One knocks while the circuit is open: who opens it starts the knocking, and who closes
# it ends it, both in one step. Else a loss between the two would find nobody knocking.
_changing = threading.Lock()
_this_thread = threading.local()


def check() -> None:
    """Raise UnavailableError if the database is known to be away."""
    if _is_away.is_set():
        raise UnavailableError("The database is away; nothing was stored.")


def refuses_to_connect() -> bool:
    """Tell whether connecting is in vain; the thread that knocks tries it anyway."""
    return _is_away.is_set() and not getattr(_this_thread, "is_knocking", False)


def is_lost(error: Exception) -> bool:
    """Tell whether an error means the connection, not the statement."""
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, OperationalError):
        return False
    state = getattr(error.__cause__, "pgcode", None)
    return state is None or state.startswith(_LOST)


def lost() -> UnavailableError:
    """Open the circuit, and return what to tell the client."""
    with _changing:
        if not _is_away.is_set():
            _is_away.set()
            threading.Thread(target=_knock, name="database knock", daemon=True).start()
    return UnavailableError("The database is away; nothing was stored.")


@contextmanager
def watched() -> Iterator[None]:
    """Turn the database's absence into an UnavailableError."""
    check()
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        if is_lost(error):
            raise lost() from error
        raise UnavailableError("The database is too busy; try again.") from error


def found() -> None:
    """Close the circuit: the database is there."""
    with _changing:
        _is_away.clear()


def _knock() -> None:
    _this_thread.is_knocking = True
    while _is_away.is_set() and not _answers():
        time.sleep(KNOCK_SECONDS)
    found()


def _answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (OperationalError, InterfaceError):
        return False
    finally:
        connection.close()
    return True
