"""Detectors that an operator brings along.

A detector is a callable ``(reference, current, **parameters) -> {"score", "p_value"?,
"detail"?}`` over two pandas DataFrames. `joining` finds and describes what is installed
and puts it into the registry, `running` runs one, and `child` is the process in which
both happen: code that isn't ours never runs in a process of DriftGuard.
"""
