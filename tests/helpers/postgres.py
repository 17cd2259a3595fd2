"""A Postgres of a test's own, where its programs are installed; it listens on a socket alone."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

INITDB = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
HAS_POSTGRES = INITDB is not None and find_spec("psycopg") is not None


@contextmanager
def postgres() -> Iterator[str]:
    """Its SQLAlchemy URL."""
    assert INITDB is not None
    place = Path(tempfile.mkdtemp(dir="/tmp"))  # a socket's path has at most 107 bytes
    place.chmod(0o777)

    def run(program: str, *arguments: str) -> None:
        user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # it refuses to run as root
        command = [*user, str(INITDB.with_name(program)), "-D", f"{place}/data", *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL)

    try:
        run("initdb", "-A", "trust", "-U", "acdc")
        options = f"-k {place} -c listen_addresses= -c fsync=off"
        run("pg_ctl", "-o", options, "-w", "-l", f"{place}/log", "start")
        try:
            yield f"postgresql+psycopg://acdc@/postgres?host={place}"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(place, ignore_errors=True)
