import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from driftguard import environment
from tests.running_server import ROOT


def test_the_url_of_a_database_is_taken_apart() -> None:
    url = "postgresql+psycopg2://a%40b:p%2Fw@db.example:5433/drift%20guard?sslmode=require"
    assert environment.database_from_url(url) == {
        "NAME": "drift guard",
        "USER": "a@b",
        "PASSWORD": "p/w",
        "HOST": "db.example",
        "PORT": "5433",
        "OPTIONS": {"sslmode": "require"},
    }


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("postgres:///driftguard?host=/run/postgresql", "/run/postgresql"),
        ("postgresql://u@[::1]:5432/driftguard", "::1"),
        ("postgresql://u@%2Frun%2Fpostgresql/driftguard", "/run/postgresql"),
    ],
)
def test_the_host_may_be_a_socket_or_an_address(url: str, host: str) -> None:
    parts = environment.database_from_url(url)
    assert (parts["HOST"], parts["NAME"]) == (host, "driftguard")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///db.sqlite3",
        "mysql://root:secret@host/db",
        "postgresql://user:secret@host",
        "postgresql://user:secret@host:port/db",
        "secret",
    ],
)
def test_another_database_is_refused_without_telling_its_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        environment.database_from_url(url)
    assert "DATABASE_URL" in str(refused.value)
    assert "secret" not in str(refused.value).removeprefix("DATABASE_URL")


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("true", True),
        ("1", True),
        ("On", True),
        ("no", False),
        ("0", False),
        ("", True),
    ],
)
def test_a_flag_has_many_spellings(
    monkeypatch: pytest.MonkeyPatch, value: str, meaning: bool
) -> None:
    monkeypatch.setenv("A_FLAG", value)
    assert environment.flag("A_FLAG", default=True) is meaning


@pytest.mark.parametrize("value", ["maybe", "2", "truth"])
def test_a_flag_that_is_neither_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("A_FLAG", value)
    with pytest.raises(ImproperlyConfigured, match=f"A_FLAG is '{value}'; use 'true'"):
        environment.flag("A_FLAG", default=False)


@pytest.mark.parametrize("value", ["-1", "1.5", "many", "0", "²"])
def test_a_number_out_of_range_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("A_NUMBER", value)
    with pytest.raises(ImproperlyConfigured, match="A_NUMBER"):
        environment.integer("A_NUMBER", 3, minimum=1)


def test_words_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORDS", " a.example, ,b.example ")
    assert environment.words("WORDS", []) == ["a.example", "b.example"]


def test_a_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "house" / "secret"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(environment.kept_secret, [path] * 8))
    assert len(found) == 1
    assert len(found.pop()) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [other.name for other in path.parent.iterdir()] == ["secret"]


def setting(name: str, **variables: str) -> str:
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from django.conf import settings; print(settings.{name})",
        ],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout.strip()


def test_the_environment_wins_over_the_file_and_no_file_is_read_if_none_is_named(
    tmp_path: Path,
) -> None:
    file = tmp_path / "env"
    file.write_text("SITE_URL=https://file.example\nOPEN_REGISTRATION=no\n")
    with_file = {"DRIFTGUARD_ENV_FILE": str(file)}
    assert setting("SITE_URL", **with_file) == "https://file.example"
    assert setting("OPEN_REGISTRATION", **with_file) == "True"
    assert setting("SITE_URL", DRIFTGUARD_ENV_FILE="") == "http://127.0.0.1:8000"
