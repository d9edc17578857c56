"""The pool: real processes that start, speak, stand still, stop and die as they should, and leave nothing behind."""

import multiprocessing
import os
import random
import signal
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch

from asyncrl.events import EpisodeEnd, Incident, Interval, Severity
from asyncrl.runtime import supervisor, worker_slot
from asyncrl.runtime.spawn import CONTEXT, PARENT_SIGNALS, THREAD_VARIABLES
from asyncrl.runtime.worker_slot import STARTING, PipeReader, WorkerSlot
from tests.runtime.setups import make_pool, prepare, steps_of, wait_until

pytestmark = pytest.mark.usefixtures("nothing_left")

ENDLESS = 10**9  # steps


def listen(pool, until=lambda heard: False, seconds=100):
    """Return what a pool says until it is done, or has said enough."""
    heard, deadline = [], time.monotonic() + seconds
    while pool.is_running and not until(heard):
        heard += pool.events()
        assert time.monotonic() < deadline
    return heard


def every(kind, heard):
    return [event for event in heard if isinstance(event, kind)]


def test_two_workers_share_a_budget_and_draw_different_actions():
    job, shared = prepare(env="tests.runtime.toys:UnhurriedSpelling", threads=2, frames=2_000)
    with make_pool(job, shared) as pool:
        heard = listen(pool, lambda heard: shared.T >= job.budget)
        heard += pool.park()  # ends where a worker ends instead
        pool.release()
        heard += listen(pool)
    assert not every(Incident, heard)
    assert job.budget <= shared.T < job.budget + 2 * job.t_max
    assert shared.T == int(steps_of(shared).sum()) == sum(report.steps for report in every(Interval, heard))
    assert shared.updates == sum(report.updates for report in every(Interval, heard))
    assert max(report.T for report in every(Interval, heard)) == shared.T
    assert sorted(pool.states) == [0, 1]
    assert pool.states[0].state != pool.states[1].state
    first = [next(game.score for game in every(EpisodeEnd, heard) if game.worker == i) for i in (0, 1)]
    assert first[0] != first[1]  # sixteen actions, spelt in binary


@pytest.mark.faults
def test_ctrl_c_while_processes_are_waited_for_ends_those_that_do_not_go(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(supervisor, "JOIN_SECONDS", 60)

    def work():
        with make_pool(*prepare(env="tests.runtime.toys:Unclosable", threads=2, frames=200)) as pool:
            listen(pool)
            threading.Timer(1, os.kill, (os.getpid(), signal.SIGUSR2)).start()

    old = signal.signal(signal.SIGUSR2, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert not multiprocessing.active_children()
    finally:
        for process in multiprocessing.active_children():
            process.kill()
        signal.signal(signal.SIGUSR2, old)


def test_at_the_end_environments_are_closed_and_if_that_fails_nothing_is_lost(monkeypatch, tmp_path):
    monkeypatch.setenv("CLOSED", str(tmp_path))
    with make_pool(*prepare(env="tests.runtime.toys:Closing", threads=2, frames=200)) as pool:
        heard = listen(pool)
    assert len(list(tmp_path.iterdir())) == 2
    assert not every(Incident, heard)
    assert sorted(pool.states) == [0, 1]


def test_a_worker_computes_with_one_thread_whatever_the_parent_does(monkeypatch):
    for variable in THREAD_VARIABLES:
        monkeypatch.setenv(variable, "2")
    job, shared = prepare(env="tests.runtime.toys:Threads", frames=10)
    with make_pool(job, shared) as pool:
        heard = listen(pool)
    assert not every(Incident, heard)
    assert [game.score for game in every(EpisodeEnd, heard)] == [1.0] * 10
    assert [os.environ[variable] for variable in THREAD_VARIABLES] == ["2"] * 4


def test_parked_workers_stand_still_with_their_states_told_and_go_on_where_they_were():
    job, shared = prepare(threads=2, frames=ENDLESS)
    with make_pool(job, shared) as pool:
        listen(pool, lambda heard: steps_of(shared).min() > 100)
        told = list(pool.park())
        assert sorted(pool.states) == [0, 1]
        T, theta, states = shared.T, shared.tensors()["theta"], dict(pool.states)
        time.sleep(0.2)
        assert not list(pool.events(timeout=0))
        assert (shared.T, pool.states) == (T, states)
        assert torch.equal(shared.tensors()["theta"], theta)
        assert max(report.T for report in every(Interval, told)) == T
        pool.release()
        assert wait_until(lambda: shared.T > T + 1_000)
        pool.stop()
        assert not every(Incident, listen(pool))
    assert pool.states != states


def test_a_worker_that_raises_says_why_and_the_others_go_on_whatever_signal_they_get(monkeypatch):
    monkeypatch.setenv("ASYNCRL_TEST_FAULT", "raise")
    job, shared = prepare(env="tests.runtime.toys:Fault", threads=2, frames=ENDLESS)
    with suppress(ZeroDivisionError), make_pool(job, shared) as pool:
        (failure,) = every(Incident, listen(pool, lambda heard: every(Incident, heard)))
        listen(pool, lambda heard: shared.steps(0) > 0)
        for number in PARENT_SIGNALS:
            os.kill(pool.slots[0].process.pid, number)
        T = shared.T
        assert not every(Incident, listen(pool, lambda heard: shared.T > T + 100))
        assert pool.is_running
        raise ZeroDivisionError  # nobody is waited for then
    assert failure.worker == 1
    assert failure.message.startswith("RuntimeError: the floor gave way (toys.py:")
    assert 'raise RuntimeError("the floor\\ngave way")' in failure.traceback
    assert pool.slots[0].process.exitcode == -signal.SIGKILL


DEATH, EARLY = "exited unexpectedly ", "exited with code 0 before the budget was reached"


@pytest.mark.parametrize(
    ("exitcode", "ending", "said"),
    [(0, True, None), (None, True, None), (-9, True, DEATH + "(signal 9)"), (-9, False, DEATH + "(signal 9)"),
     (3, False, DEATH + "(exit code 3)"), (0, False, EARLY), (None, False, EARLY)],
)  # fmt: skip
def test_the_end_of_a_pipe_is_a_failure_if_the_process_failed_or_left_early(exitcode, ending, said):
    """None: it has said all, and is slow to go. What fails once the budget is met does not fail the run."""
    job, shared = prepare(workers={"restarts": 0})
    shared.advance(0, job.budget if ending else job.budget - 1)
    pool = make_pool(job, shared)
    ours, theirs = CONTEXT.Pipe(duplex=False)
    ended, other = CONTEXT.Pipe(duplex=False)
    process = SimpleNamespace(
        exitcode=exitcode, sentinel=ended.fileno(), join=lambda timeout=None: None, kill=int, is_alive=lambda: True
    )
    pool.slots[0].reader, pool.slots[0].process = PipeReader(ours, threading.Event()), process
    pool.slots[0].reader.start()
    theirs.close()
    heard = listen(pool)
    assert heard == (
        [Incident("worker", Severity.RECOVERED if ending else Severity.FATAL, f"worker 0 {said}", worker=0)]
        if said
        else []
    )
    ended.close()
    other.close()


def test_a_word_left_half_said_holds_up_nobody_else():
    job, shared = prepare(threads=2, workers={"restarts": 0})
    pool = make_pool(job, shared)
    alive = SimpleNamespace(exitcode=None, join=lambda timeout=None: None, kill=int, is_alive=lambda: True)
    pipes = [CONTEXT.Pipe(duplex=False) for _ in range(2)]
    for slot, (ours, _) in zip(pool.slots, pipes, strict=True):
        slot.reader, slot.process = PipeReader(ours, threading.Event()), alive
        slot.reader.start()
    os.write(pipes[0][1].fileno(), b"\0\0\1")
    said = EpisodeEnd(1, 2.0, 3, 4, 5, None)
    pipes[1][1].send(said)
    assert listen(pool, lambda heard: bool(heard)) == [said]
    for _, theirs in pipes:
        theirs.close()
    for slot in pool.slots:
        slot.reader.close()


def test_where_not_all_workers_can_be_started_none_is_left(monkeypatch):
    job, shared = prepare(threads=2, frames=ENDLESS)
    start = supervisor.start

    def fail_at_the_second(target, args, name, threads):
        if name == "asyncrl-1":
            raise OSError("no more processes")
        return start(target, args, name, threads)

    monkeypatch.setattr(supervisor, "start", fail_at_the_second)
    pool = make_pool(job, shared)
    with pytest.raises(OSError, match="no more processes"), pool:
        pass
    assert [slot.process is not None for slot in pool.slots] == [True, False]
    assert not pool.slots[0].process.is_alive()


PATIENT = {"restarts": 1_000, "hang_seconds": 60.0}


@pytest.mark.faults
def test_killed_workers_are_replaced_while_the_others_go_on():
    """A random worker is killed, at random instants of its work."""
    job, shared = prepare(threads=2, frames=ENDLESS, workers=PATIENT)
    chance = random.Random(1)
    failures, alone = [], 0
    with make_pool(job, shared) as pool:
        for _ in range(2):
            before = steps_of(shared)
            listen(pool, lambda heard: bool((steps_of(shared) > before + 50).all()))  # noqa: B023
            time.sleep(chance.random() / 20)
            victim, other = chance.sample([0, 1], 2)
            os.kill(pool.slots[victim].process.pid, signal.SIGKILL)
            steps = shared.steps(other)
            heard = listen(pool, lambda heard: every(Incident, heard))
            failures += every(Incident, heard)
            pool.slots[victim].failures.clear()  # long ago
            heard = listen(pool, lambda heard: pool.slots[victim].reader is not None)  # noqa: B023
            alone += shared.steps(other) > steps
        pool.stop()
        failures += every(Incident, listen(pool))
    assert len(failures) == alone == 2
    assert {failure.message[8:] for failure in failures} == {" exited unexpectedly (signal 9)"}
    assert all(failure.is_replaced and not failure.is_fatal for failure in failures)
    assert [slot.process_count for slot in pool.slots] == [
        1 + sum(failure.worker == i for failure in failures) for i in (0, 1)
    ]


@pytest.mark.faults
def test_a_budget_is_met_with_workers_that_were_replaced():
    job, shared = prepare(threads=2, frames=6_000, workers=PATIENT)
    with make_pool(job, shared) as pool:
        listen(pool, lambda heard: shared.T > 500)
        os.kill(pool.slots[1].process.pid, signal.SIGKILL)
        heard = listen(pool)
    assert len(every(Incident, heard)) == 1
    assert job.budget <= shared.T < job.budget + 2 * job.t_max
    assert shared.T == int(steps_of(shared).sum())


@pytest.mark.faults
def test_a_worker_that_fails_too_often_is_not_replaced_again_and_says_what_it_played(monkeypatch):
    monkeypatch.setenv("ASYNCRL_TEST_FAULT", "raise")
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.0)
    job, shared = prepare(env="tests.runtime.toys:Fault", threads=2, frames=ENDLESS, workers={"restarts": 2})
    with make_pool(job, shared) as pool:
        heard = listen(pool, lambda heard: any(failure.is_fatal for failure in every(Incident, heard)))
        assert pool.slots[0].reader is not None
        pool.stop()
        heard += listen(pool)
    failures = every(Incident, heard)
    assert [(failure.worker, failure.is_fatal) for failure in failures] == [(1, False), (1, False), (1, True)]
    assert all(80 <= failure.steps < 100 for failure in failures)
    assert len({failure.seeds for failure in failures}) == 3  # each played other games
    assert all(len(failure.seeds) == 1 for failure in failures)


def test_an_environment_that_never_made_a_step_is_a_mistake_and_ends_at_once(monkeypatch):
    job, shared = prepare(env="tests.runtime.toys:Stillborn", threads=2, frames=ENDLESS, workers=PATIENT)
    with make_pool(job, shared) as pool:
        (first, *_) = every(Incident, listen(pool, lambda heard: every(Incident, heard)))
        pool.stop()
        listen(pool)
    assert first.is_fatal
    assert "no licence" in first.message


@pytest.mark.faults
def test_a_worker_that_stands_still_is_found_ended_and_replaced(slow_start):
    job, shared = prepare(threads=2, frames=ENDLESS, workers=PATIENT | {"hang_seconds": 1.0})
    with make_pool(job, shared) as pool:
        listen(pool, lambda heard: steps_of(shared).min() > 500)
        hung = pool.slots[0].process
        os.kill(hung.pid, signal.SIGSTOP)
        (failure,) = every(Incident, listen(pool, lambda heard: every(Incident, heard)))
        steps = shared.steps(0)
        listen(pool, lambda heard: shared.steps(0) > steps)
        pool.stop()
        listen(pool)
    assert (failure.worker, failure.is_fatal) == (0, False)
    assert "worker 0 hung: it finished no rollout for" in failure.message
    assert hung.exitcode == -signal.SIGKILL


@pytest.mark.faults
def test_one_that_stands_still_delays_neither_a_pause_nor_the_end_for_long(monkeypatch, slow_start):
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 1.0)
    job, shared = prepare(threads=2, frames=ENDLESS, workers=PATIENT | {"hang_seconds": 1.0})
    with make_pool(job, shared) as pool:
        listen(pool, lambda heard: steps_of(shared).min() > 500)
        os.kill(pool.slots[1].process.pid, signal.SIGSTOP)
        assert every(Incident, pool.park())
        assert pool.control.is_parked(0)
        assert pool.slots[1].reader is None  # it is not replaced before all go on
        pool.release()
        listen(pool, lambda heard: pool.slots[1].reader is not None)
        listen(pool, lambda heard: not pool.control.is_parked(0))
        os.kill(pool.slots[0].process.pid, signal.SIGSTOP)
        pool.stop()
        assert not every(Incident, listen(pool))


@pytest.mark.faults
def test_one_that_is_frozen_while_it_stands_still_is_found_when_the_others_go_on(slow_start):
    job, shared = prepare(threads=2, frames=ENDLESS, workers=PATIENT | {"hang_seconds": 1.0})
    with make_pool(job, shared) as pool:
        listen(pool, lambda heard: steps_of(shared).min() > 500)
        list(pool.park())
        os.kill(pool.slots[0].process.pid, signal.SIGSTOP)
        os.kill(pool.slots[1].process.pid, signal.SIGKILL)
        pool.release()
        failures = every(Incident, listen(pool, lambda heard: len(every(Incident, heard)) == 2))
        pool.stop()
        listen(pool)
    assert sorted(failure.worker for failure in failures) == [0, 1]
    assert all(failure.is_replaced for failure in failures)


@pytest.mark.faults
def test_a_pause_of_any_length_is_nobodys_hang(monkeypatch, slow_start):
    """Nor is a parent that was away, as it is after Ctrl-Z."""
    monkeypatch.setattr(worker_slot, "SLOW", 1)
    job, shared = prepare(
        env="tests.runtime.toys:Slow", threads=2, frames=ENDLESS, workers=PATIENT | {"hang_seconds": 4.0}
    )
    with make_pool(job, shared) as pool:
        heard = listen(pool, lambda heard: steps_of(shared).min() > 0)
        for pause in (True, False):
            if pause:
                list(pool.park())
            time.sleep(5)
            if pause:
                pool.release()
            before = steps_of(shared)
            heard += listen(pool, lambda heard: (steps_of(shared) > before).all())  # noqa: B023
        pool.stop()
        heard += listen(pool)
    assert not every(Incident, heard)


def test_a_slow_start_makes_nobody_patient_with_what_comes_later():
    slot = WorkerSlot(0, None)
    slot.observe_progress(0, 9.0)
    assert slot.patience(2.0) == STARTING * 2.0
    slot.observe_progress(5, 1.0)
    assert slot.patience(2.0) == STARTING * 2.0  # nothing is known of its rollouts yet
    for progress in range(10, 60, 5):
        slot.observe_progress(progress, 0.1)
        assert slot.patience(2.0) < 4.0
    slot.observe_progress(60, 60.0)
    assert slot.patience(2.0) > 200.0  # where one took a minute


def test_hangs_are_counted_however_long_they_take():
    slot = WorkerSlot(0, None)
    counted = [slot.count_failure(now, window=12 * 300.0) for now in range(0, 12 * 300, 300)]
    assert counted == list(range(1, 13))
    assert slot.count_failure(10**6, window=600.0) == 1


@pytest.mark.faults
def test_one_that_missed_the_end_of_a_pause_takes_part_in_the_next(slow_start):
    job, shared = prepare(threads=2, frames=ENDLESS, workers=PATIENT)
    with make_pool(job, shared) as pool:
        listen(pool, lambda heard: steps_of(shared).min() > 100)
        list(pool.park())
        frozen = pool.slots[1].process.pid
        os.kill(frozen, signal.SIGSTOP)
        pool.release()
        pool.control.park()  # the next pause has begun when it wakes
        os.kill(frozen, signal.SIGCONT)
        assert not every(Incident, pool.park())
        assert sorted(pool.states) == [0, 1]
        pool.release()
        pool.stop()
        listen(pool)
