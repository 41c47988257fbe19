"""What logging costs the thread that predicts, beside what the row itself costs."""

import sys
import tempfile
import time
from pathlib import Path

from driftguard_client import DriftGuard, Monitor

from tests.bench.kernels import Lines

ROWS = 20_000
FEATURES = {f"feature_{number}": number * 1.5 for number in range(20)}


def main() -> int:
    lines = Lines()
    with tempfile.TemporaryDirectory() as spool:
        # Nobody listens: the spool fills, which is the dearest case.
        client = DriftGuard("http://127.0.0.1:9", "dg_bench")
        monitor = Monitor(client, "bench", spool=Path(spool), max_rows=10 * ROWS)
        spent = 0.0
        for number in range(ROWS):
            begun = time.perf_counter()
            monitor.log(FEATURES, 1, probabilities=[0.2, 0.8], entity_id=str(number))
            spent += time.perf_counter() - begun
            time.sleep(0.0002)
        monitor.close(0)
    per_row = spent / ROWS * 1e6
    lines.add(
        "logging one prediction, in the caller's thread", per_row, most=20, unit="µs"
    )
    return int(lines.missed)


if __name__ == "__main__":
    sys.exit(main())
