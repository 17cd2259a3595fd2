"""Slots in virtual time."""

import pytest

from acdc.bench.simulator.cost_model import CostModel
from acdc.bench.simulator.virtual_time import VirtualTime


def test_launches_slow_each_other_down_while_both_run():
    clock = VirtualTime(CostModel({}, contention={("arm", "arm"): {1: 2.0}}))
    clock.submit(0, "first", "arm", 1, 1.0)
    clock.call("begin the second", 0.5)
    assert clock.next() == ("begin the second", 0.0, 0.5)
    clock.submit(1, "second", "arm", 1, 1.0)
    assert clock.next() == ("first", 0.0, 1.5)
    assert clock.next() == ("second", 0.5, 2.0)
    assert clock.now == 2.0
    assert not clock.pending


def test_the_slots_go_on_while_the_loop_is_busy():
    clock = VirtualTime(CostModel({}, loop_s=0.4))
    clock.submit(0, "short", "arm", 1, 1.0)
    clock.submit(1, "long", "dm", 1, 1.3)
    assert clock.next() == ("short", 0.0, 1.0)
    assert clock.now == pytest.approx(1.4)
    assert clock.next().end == pytest.approx(1.3)
    assert clock.now == pytest.approx(1.8)
