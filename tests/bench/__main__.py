"""``python -m tests.bench [NAME …]``: measures, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def names() -> list[str]:
    """Return the modules here that can be run by themselves."""
    return sorted(
        path.stem
        for path in HERE.glob("*.py")
        if path.name != "__main__.py" and '__name__ == "__main__"' in path.read_text()
    )


def main(chosen: list[str]) -> int:
    missed = []
    for name in chosen or names():
        print(f"\n{name}", flush=True)
        command = [sys.executable, "-m", f"tests.bench.{name}"]
        root = HERE.parents[1]
        # The client is a distribution of its own, beside the product's packages.
        environment = {**os.environ, "PYTHONPATH": str(root / "client")}
        if subprocess.run(command, cwd=root, env=environment, check=False).returncode:
            missed.append(name)
    print(f"\nMissed: {', '.join(missed) or 'nothing'}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
