import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from driftguard.embedded.cluster import Cluster, ClusterError
from driftguard.locks import FileLock
from tests.running_server import ROOT

COUNT = "from governance.models import User; print('users:', User.objects.count())"


def manage(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = dict(os.environ)
    for name in ("DATABASE_URL", "SECRET_KEY"):
        environment.pop(name, None)
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**environment, "DRIFTGUARD_DATA_DIR": str(directory)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "postgres", durable=False)
    yield cluster
    cluster.stop()


def test_commands_start_the_database_share_it_and_the_last_one_stops_it(
    tmp_path: Path,
) -> None:
    cluster = Cluster(tmp_path / "postgres")
    migrate = manage(tmp_path, "migrate", "--verbosity=0")
    assert migrate.communicate() == ("", None)
    assert migrate.returncode == 0
    assert cluster.postmaster() is None
    # Two commands at once; the first ends while the second still needs the database.
    waiting = f"{COUNT}; input(); {COUNT}"
    first, second = (manage(tmp_path, "shell", "-v0", "-c", waiting) for _ in range(2))
    for command in (first, second):
        assert command.stdout is not None
        assert command.stdout.readline() == "users: 0\n"
    assert first.communicate("\n")[0] == "users: 0\n"
    assert cluster.postmaster() is not None
    assert second.communicate("\n")[0] == "users: 0\n"
    assert (first.returncode, second.returncode) == (0, 0)
    assert cluster.postmaster() is None


def test_the_next_command_uses_and_stops_what_a_killed_one_left(
    cluster: Cluster,
) -> None:
    cluster.start()
    left = cluster.postmaster()
    cluster.attend()
    assert cluster.postmaster() == left
    cluster.leave()
    assert cluster.postmaster() is None


def test_nobody_starts_the_database_that_serve_looks_after(tmp_path: Path) -> None:
    keeper = FileLock(tmp_path / "serve.lock")
    assert keeper.acquire()
    cluster = Cluster(tmp_path / "postgres", keeper=keeper.path)
    cluster.attend()
    assert not cluster.data.exists()
    keeper.release()
    assert not cluster.is_kept()


def test_a_deep_directory_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / ("deep" * 30) / "postgres", durable=False)
    elsewhere = cluster.socket_directory()
    assert len(str(elsewhere)) < 100
    # Another process, and another object, finds the same place.
    assert Cluster(cluster.directory).socket_directory() == elsewhere
    cluster.attend()
    assert cluster.is_accepting()
    cluster.leave()
    elsewhere.rmdir()
    another = Cluster(cluster.directory).socket_directory()
    assert another != elsewhere
    another.rmdir()


def test_the_pid_file_of_a_stranger_is_no_obstacle(cluster: Cluster) -> None:
    cluster.start()
    pid_file = cluster.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    postmaster = psutil.Process(int(lines[0]))
    family = [postmaster, *postmaster.children(recursive=True)]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=30)
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    cluster.start()
    assert cluster.is_accepting()


def test_a_cut_off_initialisation_is_begun_again(cluster: Cluster) -> None:
    draft = cluster.directory / "data.draft"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    cluster.start()
    assert cluster.is_accepting()
    assert not draft.exists()


def test_a_database_that_does_not_start_says_where_to_look(cluster: Cluster) -> None:
    cluster.initialise()
    (cluster.data / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(ClusterError, match=r"did not start; see .*/log"):
        cluster.start()
    assert "no_such_setting" in (cluster.directory / "log").read_text()


def test_the_server_listens_on_no_network(cluster: Cluster) -> None:
    cluster.start()
    postmaster = cluster.postmaster()
    assert postmaster is not None
    assert postmaster.net_connections("inet") == []
    assert (cluster.socket_directory().stat().st_mode & 0o077) == 0


def test_the_server_survives_a_crash_of_the_machine_unless_told_otherwise(
    tmp_path: Path,
) -> None:
    command = Cluster(tmp_path).command(tied=False)
    assert not any("fsync" in word or "synchronous" in word for word in command)
    assert "fsync=off" in Cluster(tmp_path, durable=False).command(tied=False)
