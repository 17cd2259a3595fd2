"""Claims: each job is one worker's, is drawn on after its worker's death, and fails alone where it kills workers."""

import multiprocessing
import subprocess
import time
from pathlib import Path

import pytest

from acdc.engine.server.store.claims import Claims, Lost
from acdc.engine.server.store.database import Database
from acdc.engine.server.store.store import Store
from acdc.engine.server.store.workers import Workers
from tests.helpers.postgres import HAS_POSTGRES, postgres
from tests.helpers.serving import wait_for

JOBS, PROCESSES = 60, 3


@pytest.fixture
def database(tmp_path):
    found = Database(f"sqlite:///{tmp_path}/store.sqlite")
    found.create_tables()
    yield found
    found.close()


@pytest.fixture
def store(database) -> Store:
    return Store(database)


def submit(store: Store, *names: str) -> None:
    for name in names:
        store.submit(name, "story", {"sentences": ["A fox sat."]})


def test_jobs_come_by_priority_and_then_in_the_order_of_their_submission(store, database):
    submit(store, "first", "second")
    store.submit("urgent", "story", {"sentences": ["Now."]}, priority=1)
    mine = Claims(database, "one")
    assert [mine.claim().id for _ in range(3)] == ["urgent", "first", "second"]
    assert mine.claim() is None
    assert mine.own() == {"urgent", "first", "second"}


def test_a_lease_that_ran_out_is_another_workers_and_its_first_owner_writes_no_more(store, database):
    submit(store, "a")
    slow, quick = Claims(database, "slow", lease=-1), Claims(database, "quick")
    slow.claim()
    slow.add("a", "frame", {"index": 0})  # it is still its own
    with database.write() as connection:
        connection.exec_driver_sql("update jobs set lease = 0")
    assert quick.claim().attempt == 1
    for write in (lambda: slow.add("a", "frame", {"index": 1}), lambda: slow.end("a", {}), lambda: slow.fail("a", {})):
        with pytest.raises(Lost):
            write()
    assert slow.renew() == set()
    assert [event.seq for event in store.events("a")] == list(range(len(store.events("a"))))


def test_a_job_that_kills_its_worker_three_times_fails(store, database):
    submit(store, "a", "b")
    for number in range(3):
        claims = Claims(database, f"worker {number}", max_attempts=3)
        assert claims.claim().id == "a"
        claims.release(blame=True)
    last = Claims(database, "last", max_attempts=3)
    assert last.claim() is None
    assert store.get("a").state == "failed"
    assert store.get("a").error["code"] == "engine_died"
    assert last.claim().id == "b"


def test_a_suspect_waits_until_a_worker_is_idle(store, database):
    submit(store, "a")
    for number in range(2):
        claims = Claims(database, f"worker {number}")
        claims.claim()
        claims.release(blame=True)
    submit(store, "b")
    busy = Claims(database, "busy")
    assert busy.claim(suspects=False).id == "b"
    assert busy.claim(suspects=False) is None
    assert busy.claim().id == "a"


def test_a_frame_clears_the_count_of_attempts(store, database):
    submit(store, "a")
    for number in range(5):
        claims = Claims(database, f"worker {number}")
        claims.claim()
        claims.add("a", "frame", {"index": number})
        claims.release(blame=True)
    assert store.get("a").state == "queued"
    assert store.get("a").attempt == 0


@pytest.mark.parametrize("reaped", [True, False])
def test_jobs_of_a_dead_process_go_back_to_the_queue(store, database, reaped):
    """Also while nobody has asked for its exit code: a killed server's worker may stay as a zombie."""
    submit(store, "a")
    Claims(database, "dead").claim()
    Workers(database).beat("dead", "ready", time.time(), {})
    child = subprocess.Popen(["true"])
    if reaped:
        child.wait()
    else:
        wait_for(lambda: " Z " in Path(f"/proc/{child.pid}/stat").read_text())
    with database.write() as connection:
        connection.exec_driver_sql(f"update workers set pid = {child.pid}")
    Workers(database).bury_dead()
    assert store.get("a").state == "queued"
    assert Workers(database).get("dead") is None
    child.wait()


def draw(url: str, owner: str) -> None:
    """Claim and finish jobs until there are none."""
    claims = Claims(Database(url), owner)
    while (job := claims.claim()) is not None:
        for index in range(3):
            claims.add(job.id, "frame", {"index": index, "by": owner})
        claims.settle(job.id, 1, {})


def check_three_processes(url: str, jobs: int) -> None:
    database = Database(url)
    database.create_tables()
    store = Store(database)
    submit(store, *(f"job{number}" for number in range(jobs)))
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=draw, args=(url, f"worker {number}")) for number in range(PROCESSES)]
    database.close()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    for number in range(jobs):
        events = store.events(f"job{number}")
        assert [event.kind for event in events] == ["queued", "started", "frame", "frame", "frame", "end"]
        assert [event.seq for event in events] == list(range(6))
        assert len({event.data["by"] for event in events if event.kind == "frame"}) == 1
    numbers = [event.number for event in store.all_events(0, 10_000)]
    assert numbers == list(range(1, 6 * jobs + 1))
    database.close()


@pytest.mark.long
def test_three_processes_share_the_jobs_of_sqlite(tmp_path):
    check_three_processes(f"sqlite:///{tmp_path}/store.sqlite", JOBS)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_POSTGRES, reason="Postgres or psycopg is not installed here")
def test_three_processes_share_the_jobs_of_postgres():
    with postgres() as url:
        check_three_processes(url, JOBS)
