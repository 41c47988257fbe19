"""A pytest plugin that points DriftGuard at throw-away state, before it is imported.

The tests' database is on the server that TEST_DATABASE_URL names (a login that may
create databases and roles), otherwise on an embedded server of their own. Whatever
DATABASE_URL says, no test ever touches that database.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

DATA_DIRECTORY = Path(tempfile.mkdtemp(prefix="driftguard-tests-"))
atexit.register(shutil.rmtree, DATA_DIRECTORY, ignore_errors=True)
sys.path.insert(0, str(Path(__file__).parent.parent))

from driftguard.embedded.cluster import PORT, SUPERUSER, Cluster  # noqa: E402

TEST_DATABASE_URL = os.environ.get("TEST_DATABASE_URL", "")
cluster = Cluster(DATA_DIRECTORY / "postgres", durable=False)

for name in ("DATABASE_OWNER_URL", "CELERY_BROKER_URL", "SITE_URL", "ALLOWED_HOSTS"):
    os.environ.pop(name, None)
os.environ.update(
    {
        "DRIFTGUARD_ENV_FILE": "",
        "DRIFTGUARD_DATA_DIR": str(DATA_DIRECTORY),
        "DATABASE_URL": TEST_DATABASE_URL
        or f"postgresql://{SUPERUSER}@/postgres"
        f"?host={cluster.socket_directory()}&port={PORT}",
        "SECRET_KEY": "of no value: only the tests of one run know this key",
        "OPEN_REGISTRATION": "true",
        "DEBUG": "false",
        "LOG_LEVEL": "WARNING",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
)
