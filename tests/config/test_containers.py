"""The containers' files, as far as they can be judged without an engine: what each promises, and that it stays true."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from config import embedded
from config.env import BadSetting, secret
from config.management.commands.serve import WORKERS, gunicorn_command
from deploy.clock import Job, following, jobs, move_log

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
TABLES = [ROOT / "deploy" / "crontab", ROOT / "deploy" / "crontab.backup"]
each_service = pytest.mark.parametrize("name", SERVICES)
NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)


def program(*words: str | Path) -> str:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_compose_is_what_its_specification_says() -> None:
    """The schema comes with the package; nothing is asked of the network."""
    program(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


@each_service
def test_a_service_has_limits_and_writes_nowhere_else(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= limits.keys()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert name == "prepare" or not service.get("cap_add")
    assert service["logging"]["options"]["max-size"]


@each_service
def test_an_image_has_a_version(name: str) -> None:
    image = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", SERVICES[name]["image"])
    assert re.search(r":\d+\.\d+", image), image


@each_service
def test_a_service_waits_for_what_it_needs_and_is_asked_how_it_is(name: str) -> None:
    service = SERVICES[name]
    once = service["restart"] == "no"
    assert once == bool(service.get("healthcheck", {}).get("disable"))
    assert name == "prepare" or service["depends_on"]
    for needed, how in service.get("depends_on", {}).items():
        once = SERVICES[needed]["restart"] == "no"
        assert how["condition"] == ("service_completed_successfully" if once else "service_healthy")


@each_service
def test_no_secret_is_in_an_environment(name: str) -> None:
    service = SERVICES[name]
    told = " ".join(f"{key}={value}" for key, value in service.get("environment", {}).items())
    assert not re.search(r"postgres(ql)?://|PASSWORD=|_KEY=|TOKEN=", told)
    given = set(service.get("secrets", []))
    assert given <= COMPOSE["secrets"].keys()
    files = {value.removeprefix("/run/secrets/") for value in re.findall(r"/run/secrets/\w+", told)}
    assert files <= given


def test_only_the_web_is_reached_from_outside_and_only_who_must_has_the_owners_login() -> None:
    assert [name for name in SERVICES if SERVICES[name].get("ports")] == ["web"]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    owners = [name for name in SERVICES if "migrator_database_url" in SERVICES[name].get("secrets", [])]
    assert owners == ["migrate", "cron"]
    assert "backup" not in {volume.split(":")[0] for volume in SERVICES["postgres"]["volumes"]}


def test_every_secret_but_the_keys_of_backups_is_made_and_kept(tmp_path: Path) -> None:
    """Those belong to the machine that restores. A second run changes nothing."""
    shutil.copy(ROOT / "deploy" / "make-secrets", tmp_path)
    program(tmp_path / "make-secrets")
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    named = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert named - made.keys() == {"backup_recipients"}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert made["app_password"] in made["database_url"]
    assert len({made[name] for name in made if name.endswith("password")}) == 4
    assert program(tmp_path / "make-secrets") == ""
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made


def test_the_dockerfile_has_no_mistake_that_hadolint_knows() -> None:
    program(Path(sys.executable).parent / "hadolint", "Dockerfile")


def test_the_image_serves_as_serve_does_and_not_as_root() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    assert all(re.search(r"^USER \d+:\d+$", stage, re.MULTILINE) for stage in stages[2:])  # the first only builds
    (words,) = re.findall(r'CMD (\["gunicorn".*?\])\n', DOCKERFILE, re.DOTALL)
    command = json.loads(words.replace("\\\n", ""))

    class Anywhere:
        def fileno(self) -> int:
            return 0

    ours = gunicorn_command(Anywhere())  # type: ignore[arg-type]
    assert f"--workers={WORKERS}" in ours
    assert command[command.index("--workers") + 1] == str(WORKERS)
    for word in ours:
        if word.startswith(("--threads=", "--keep-alive=")):
            option, value = word.split("=")
            assert command[command.index(option) + 1] == value


def test_postgresql_is_the_one_that_gatehouse_is_tested_with() -> None:
    (version,) = re.findall(r"postgres:([\d.]+)-", SERVICES["postgres"]["image"])
    assert f" {version}" in program(embedded.programs() / "postgres", "--version")
    asked = " ".join(SERVICES["postgres"]["command"])
    for name in ("max_connections", "max_locks_per_transaction", "shared_preload_libraries", "jit"):
        assert f"--{name}={embedded.OPTIONS[name]}" in asked


def test_what_is_installed_is_what_is_tested() -> None:
    """`make lock` chooses both; a version or a hash that stands in one alone is a mistake."""
    tested = (ROOT / "requirements.txt").read_text()
    pinned = re.findall(r"^\S+==\S+", (ROOT / "deploy" / "requirements.txt").read_text(), re.MULTILINE)
    assert len(pinned) > 30
    assert [line for line in pinned if line not in tested] == []


# Secrets by file


def test_a_secret_is_read_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("a long text\n")
    monkeypatch.setenv("A_SECRET_FILE", str(tmp_path / "key"))
    assert secret("A_SECRET") == "a long text"
    monkeypatch.delenv("A_SECRET_FILE")
    monkeypatch.setenv("A_SECRET", "another")
    assert secret("A_SECRET") == "another"


@pytest.mark.parametrize(
    ("content", "also", "why"),
    [
        (b"text", "text", "A_SECRET_FILE and A_SECRET exclude each other: set one of them."),
        (None, "", "which cannot be read (no such file or directory)."),
        (b"", "", "which is empty."),
        (b"\xff\xfe", "", "which cannot be read (not a text)."),
    ],
)
def test_a_file_that_gives_no_secret_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, also: str, why: str
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    monkeypatch.setenv("A_SECRET_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("A_SECRET", also)
    with pytest.raises(BadSetting) as refused:
        secret("A_SECRET")
    assert why in refused.value.sentence


# The clock


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.name)
def test_every_line_of_a_crontab_is_a_command(table: Path) -> None:
    due = list(jobs(table, NOW))
    assert due
    assert {job.command[0] for job in due} <= get_commands().keys()


def test_what_must_run_often_does() -> None:
    when = {job.command[0]: job.when for job in jobs(TABLES[0], NOW)}
    assert following(when["run_due"], NOW) == datetime(2026, 11, 20, 12, 1, tzinfo=UTC)
    assert following(when["rotate_partitions"], NOW).date() == datetime(2026, 11, 21, tzinfo=UTC).date()


@pytest.mark.parametrize(
    ("line", "why"), [("* * * * *", "no command"), ("61 * * * * run_due", "line 2"), ("run_due", "line 2")]
)
def test_a_bad_crontab_is_refused_with_its_line(tmp_path: Path, line: str, why: str) -> None:
    (tmp_path / "crontab").write_text(f"# ours\n{line}\n")
    command = [sys.executable, ROOT / "deploy" / "clock.py", tmp_path / "crontab"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_a_job_that_still_runs_is_not_begun_again(capfd: pytest.CaptureFixture[str]) -> None:
    job = Job("* * * * *", ["version"], NOW, subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
    child = job.child
    assert child is not None
    job.tick(NOW)
    assert job.child is child
    assert "still runs" in capfd.readouterr().err
    assert job.due > NOW
    child.communicate(b"\n")
    job.tick(NOW)
    assert job.child is None
    job.due = NOW
    job.tick(NOW)
    assert job.child is not None
    assert job.child.wait(60) == 0


def test_the_log_is_moved_encrypted_and_what_cannot_be_moved_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyrage

    spool, wal, name = tmp_path / "spool", tmp_path / "backup" / "wal", "00000001000000000000000A"
    spool.mkdir()
    (spool / name).write_bytes(b"the log" * 100)
    (spool / f".{name}.part").write_bytes(b"still being written")
    move_log(spool, wal)
    assert "BACKUP_RECIPIENTS_FILE" in capsys.readouterr().err
    assert (spool / name).exists()

    (tmp_path / "keys").write_text(str(pyrage.x25519.Identity.generate().to_public()))
    monkeypatch.setenv("BACKUP_RECIPIENTS_FILE", str(tmp_path / "keys"))
    move_log(spool, wal)
    assert f"The log waits in {spool}" in capsys.readouterr().err  # the disk of the backups is not there
    assert not wal.exists()
    wal.mkdir(parents=True)
    move_log(spool, wal)
    assert [path.name for path in spool.iterdir()] == [f".{name}.part"]
    (moved,) = wal.glob(f"*/{name}.*.gz.age")
    assert b"the log" not in moved.read_bytes()


def test_the_clock_says_that_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import deploy.clock as clock

    monkeypatch.setattr(clock, "ALIVE", tmp_path / "clock")
    asked = {tuple(SERVICES[name]["healthcheck"]["test"]) for name in ("cron", "backup")}
    ((_, program, *words),) = asked
    assert program == "python"
    monkeypatch.setattr(sys, "argv", words)
    for age, status in ((0, 0), (120, 1)):
        (tmp_path / "clock").touch()
        then = time.time() - age
        os.utime(tmp_path / "clock", (then, then))
        with pytest.raises(SystemExit) as ended:
            clock.main()
        assert ended.value.code == status
