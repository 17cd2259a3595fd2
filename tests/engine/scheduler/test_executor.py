"""Slots and callers: threads with their own budget, errors that come back, and no thread that stays."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from acdc.engine.scheduler.executor import Executor, Slot

CPU = torch.device("cpu")


@pytest.fixture
def threads():
    """Torch's threads as they were, whatever a test sets."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


@pytest.fixture
def executor(threads):
    made = Executor([Slot(CPU, 1), Slot(CPU, 1)])
    yield made
    made.close()


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("acdc-")]


def test_what_is_done_comes_back_with_its_result_and_times(executor):
    before = time.perf_counter()
    executor.submit(1, "launch", time.perf_counter)
    done = executor.next()
    assert (done.what, done.error) == ("launch", None)
    assert before <= done.start <= done.result <= done.end <= time.perf_counter()
    assert executor.pending == 0


def test_an_error_comes_back_and_the_slot_goes_on(executor):
    executor.submit(0, "bad", lambda: 1 / 0)
    done = executor.next()
    assert isinstance(done.error, ZeroDivisionError)
    assert done.result is None
    executor.submit(0, "good", lambda: "fine")
    assert executor.next().result == "fine"


def test_an_error_of_the_interpreters_own_is_raised_and_not_waited_for(executor):
    def leave() -> None:
        raise SystemExit("enough")

    executor.submit(0, "bad", leave)
    with pytest.raises(SystemExit, match="enough"):
        executor.next()
    executor.call("bad", leave)
    with pytest.raises(SystemExit, match="enough"):
        executor.next()


def test_slots_run_concurrently_and_a_slot_one_thing_at_a_time(executor):
    both, order = threading.Barrier(2, timeout=20), []
    for slot in (0, 1):
        executor.submit(slot, slot, both.wait)  # raises unless both are there at a time
    for number in range(5):
        executor.submit(0, number, lambda number=number: order.append((number, threading.get_ident())))
    assert all(executor.next().error is None for _ in range(7))
    assert [number for number, _ in order] == [0, 1, 2, 3, 4]
    assert len({thread for _, thread in order}) == 1, "a slot is one thread"


def test_calls_run_next_to_busy_slots_as_many_as_allowed(executor):
    held, two = threading.Event(), threading.Barrier(2, timeout=20)
    for slot in (0, 1):
        executor.submit(slot, "launch", lambda: held.wait(20))
    executor.call("call", two.wait)
    executor.call("call", two.wait)
    assert [executor.next().what for _ in range(2)] == ["call", "call"]
    held.set()
    assert [executor.next().result for _ in range(2)] == [True, True]


def test_each_slot_has_its_threads_and_they_are_given_back(threads):
    torch.set_num_threads(3)
    executor = Executor([Slot(CPU, 1), Slot(CPU, 2)])
    for slot in (0, 1, 0, 1):
        executor.submit(slot, slot, torch.get_num_threads)
    found = [executor.next() for _ in range(4)]
    assert all(done.result == done.what + 1 for done in found), "however often it is asked"
    executor.close()
    assert torch.get_num_threads() == 3
    fresh: list[int] = []
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert fresh == [3], "a new thread has what the caller has, not what a slot had"


def test_close_waits_for_what_runs_and_drops_what_has_not_begun(threads):
    executor, ran, begun = Executor([Slot(CPU, 1), Slot(CPU, 1)]), [], threading.Event()

    def work(name: str) -> None:
        begun.set()
        time.sleep(0.1)
        ran.append(name)

    for name in ("first", "second"):
        executor.submit(0, name, lambda name=name: work(name))
    assert begun.wait(20)
    executor.close()
    assert ran == ["first"]
    assert ours() == []
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(0, "late", lambda: None)


def test_the_only_slot_of_a_cpu_works_on_the_thread_that_waits(threads):
    """A second OpenMP team of as many threads would be kept asleep; memory calls still run concurrently."""
    executor = Executor([Slot(CPU, 1)])
    executor.submit(0, "here", threading.get_ident)
    assert ours() == []
    assert executor.next().result == threading.get_ident()
    executor.call("there", threading.get_ident)
    assert executor.next().result != threading.get_ident()
    executor.submit(0, "never", lambda: pytest.fail("dropped work ran"))
    executor.close()
    assert ours() == []


def test_an_executor_that_is_not_used_has_no_threads(threads):
    before = ours()
    executor = Executor([Slot(CPU, 1)] * 2)
    assert ours() == before
    executor.close()
    executor.close()


def test_waiting_for_nothing_is_refused(executor):
    with pytest.raises(AssertionError, match="nothing is under way"):
        executor.next()


def test_close_does_not_wait_for_calls(executor):
    held = threading.Event()
    executor.call("call", held.wait)
    began = time.perf_counter()
    executor.close()
    assert time.perf_counter() - began < 5
    held.set()
    assert executor.next().result is True


@pytest.mark.parametrize("first", ["call", "launch"])
def test_a_call_has_a_slots_threads_whichever_began_first(threads, first):
    torch.set_num_threads(4)
    executor = Executor([Slot(CPU, 2), Slot(CPU, 2)])
    if first == "launch":
        executor.submit(0, "launch", lambda: None)
        executor.next()
    executor.call("call", torch.get_num_threads)
    assert executor.next().result == 2
    executor.close()
