"""Letting artifacts predict: ONNX only, each in a process of its own, within limits.

`running` is the side that asks, and imports neither numpy nor onnxruntime. `child` is
the process; `soundness` and `sessions` are used in it alone.
"""
