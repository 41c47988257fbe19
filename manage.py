#!/usr/bin/env python
"""The command line of DriftGuard."""

import os
import sys

from django.core.management import execute_from_command_line


def adopt_data_directory(arguments: list[str]) -> None:
    """Put ``--data-dir`` into the environment.

    The settings are read before a command parses its options, and they need to know
    where the database, the broker and the secrets live.
    """
    for position, argument in enumerate(arguments):
        if argument.startswith("--data-dir="):
            os.environ["DRIFTGUARD_DATA_DIR"] = argument.partition("=")[2]
        elif argument == "--data-dir" and position + 1 < len(arguments):
            os.environ["DRIFTGUARD_DATA_DIR"] = arguments[position + 1]


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "driftguard.settings")
    adopt_data_directory(sys.argv[2:])
    execute_from_command_line(sys.argv)
