"""``python -m driftguard.embedded DIRECTORY``: the server as this very process."""

import sys
from pathlib import Path

from driftguard.embedded.cluster import Cluster

if __name__ == "__main__":
    Cluster(Path(sys.argv[1])).run()
