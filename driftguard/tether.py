"""Ties a process to the life of its parent, so that a killed parent leaves no orphan.

``python -m driftguard.tether COMMAND …`` replaces itself by the command, which gets
SIGTERM when the process that started it ends in whatever way. Linux only; elsewhere
the command just runs.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals, *, parent: int | None = None) -> None:
    """Have the kernel send this process ``number`` when its parent ends.

    ``parent`` is the parent's number where it is known for sure: the parent may have
    ended before this call.
    """
    if sys.platform != "linux":
        return
    parent = parent or os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(number)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        # The parent ended before the wish was made, and nobody will send the signal.
        os.kill(os.getpid(), number)


if __name__ == "__main__":
    die_with_parent(signal.SIGTERM)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the command is serve's own
