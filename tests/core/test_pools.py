"""Pools of threads that begin late, at once, one after the other, or never."""

import random
import threading
import time

import numpy
import pytest
from counting import Counting, wait_until
from python_pools import PythonPool, help_with

from rmsprop._core.tables import ARRIVED, FINISHED


def job(pool, pieces=100, threads=4, is_open=True):
    counting = Counting(pieces, threads, is_open)
    pool.serve(counting.run)
    return counting


def test_a_call_that_comes_late_finds_the_job_gone():
    """Its leader does not wait for it. The memory of the job is not touched, nor that of a later job."""
    pool = PythonPool(lambda ticket, wanted: wanted)
    counting = job(pool)
    for _ in range(20):
        counting.run.execute()
    assert (counting.done == 20).all()
    assert len(set(pool.issued)) == 20
    assert pool.freed == []
    counting.run.words[:] = -1  # a kernel that read them would crash
    for ticket in pool.issued:
        for _ in range(3):
            help_with(ticket)
    assert (counting.done == 20).all()
    assert (counting.run.words == -1).all()
    assert pool.freed == pool.issued


@pytest.mark.parametrize("asked", [0, 1, 3])
def test_the_last_that_knows_of_a_ticket_frees_it(asked):
    pool = PythonPool(lambda ticket, wanted: min(wanted, asked))
    counting = job(pool)
    counting.run.execute()
    (ticket,) = pool.issued
    for _ in range(asked):
        assert pool.freed == []
        help_with(ticket)
    assert pool.freed == [ticket]
    assert (counting.done == 1).all()


def test_a_call_on_the_leader_s_own_thread():
    """The first does all pieces; the leader and the other calls find none."""

    def ask(ticket, wanted):
        for _ in range(wanted):
            help_with(ticket)
        return wanted

    pool = PythonPool(ask)
    counting = job(pool)
    counting.run.execute()
    assert (counting.done == 1).all()
    assert counting.job[ARRIVED] == 1
    assert pool.freed == pool.issued


def test_a_leader_waits_for_a_call_that_has_begun():
    """The memory that it works on may be gone later. This test stands for the call."""

    def ask(ticket, wanted):
        pool.gate(ticket)[0] += 1
        return 0

    pool = PythonPool(ask)
    counting = job(pool)
    leader = threading.Thread(target=counting.run.execute)
    leader.start()
    wait_until(lambda: counting.job[FINISHED] == 100)
    leader.join(0.2)
    assert leader.is_alive()
    assert pool.freed == []
    pool.gate(pool.issued[0])[0] -= 1
    leader.join(20)
    assert not leader.is_alive()
    assert pool.freed == pool.issued


def test_calls_at_the_same_time_as_the_leader():
    helpers = []

    def ask(ticket, wanted):
        helpers.extend(threading.Thread(target=help_with, args=(ticket,)) for _ in range(wanted))
        for helper in helpers:
            helper.start()
        return wanted

    pool = PythonPool(ask)
    counting = job(pool, is_open=False)
    leader = threading.Thread(target=counting.run.execute)
    leader.start()
    counting.wait_for(4)
    counting.open()
    for thread in (leader, *helpers):
        thread.join()
    assert (counting.done == 1).all()
    assert counting.job[ARRIVED] == 4
    assert pool.freed == pool.issued


def test_without_memory_for_a_ticket_the_leader_does_it_all():
    def ask(ticket, wanted):
        raise AssertionError

    pool = PythonPool(ask, allocates=False)
    counting = job(pool)
    counting.run.execute()
    assert (counting.done == 1).all()
    assert counting.job[ARRIVED] == 1


def test_no_more_calls_than_there_are_pieces_to_claim():
    wanted = []
    pool = PythonPool(lambda ticket, number: wanted.append(number) or 0)
    for pieces, threads in ((8, 100), (100, 3), (8, 2)):
        job(pool, pieces, threads).run.execute()
    assert wanted == [7, 2, 1]


def test_a_storm_of_late_calls():
    """Leaders whose jobs' memory is thrown away at once; each call comes when it comes, on one of a few threads."""
    waiting, ended, chance = [], threading.Event(), random.Random(1)

    def ask(ticket, wanted):
        waiting.extend(wanted * [ticket])
        return wanted

    def work():
        while waiting or not ended.is_set():
            try:
                ticket = waiting.pop(chance.randrange(len(waiting) or 1))
            except IndexError:
                time.sleep(0.0001)
            else:
                help_with(ticket)

    def lead():
        for number in range(100):
            counting = job(pool, 8 + number % 9)
            counting.run.execute()
            assert (counting.done == 1).all()
            counting.run.words[:] = -1
            led.append(counting)

    pool, led = PythonPool(ask), []
    workers, leaders = ([threading.Thread(target=one) for _ in range(4)] for one in (work, lead))
    for thread in (*workers, *leaders):
        thread.start()
    for thread in leaders:
        thread.join()
    ended.set()
    for thread in workers:
        thread.join()
    assert len(led) == 400
    assert all((one.done == 1).all() and (one.run.words == -1).all() for one in led)
    assert sorted(pool.freed) == sorted(pool.issued)
    numpy.testing.assert_array_equal(numpy.bincount(numpy.unique(pool.issued, return_counts=True)[1]), [0, 400])
