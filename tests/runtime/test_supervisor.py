"""The crew: real processes that start, speak, stand still, stop and die as they should, and leave nothing behind."""

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

from asyncrl.events import EpisodeEnd, Failure, Interval
from asyncrl.runtime import supervisor
from asyncrl.runtime.parameters import PARK, PARKED, STEPS
from asyncrl.runtime.process import CONTEXT, PARENTS, THREAD_VARIABLES
from asyncrl.runtime.supervisor import STARTING, Crew, Ear, Seat
from tests.runtime.setups import prepare, wait_until

pytestmark = pytest.mark.usefixtures("nothing_left")

ENDLESS = 10**9  # steps


def listen(crew, until=lambda heard: False, seconds=60):
    """Return what a crew says until it is done, or has said enough."""
    heard, deadline = [], time.monotonic() + seconds
    while crew.is_running and not until(heard):
        heard += crew.hear()
        assert time.monotonic() < deadline
    return heard


def every(kind, heard):
    return [event for event in heard if isinstance(event, kind)]


def test_two_workers_share_a_budget_and_draw_different_actions():
    job, shared = prepare(env="tests.runtime.toys:Spelling", threads=2, frames=3_000)
    with Crew(job, shared) as crew:
        heard = listen(crew, lambda heard: shared.T >= job.budget)
        heard += crew.park()  # ends where a worker ends instead
        crew.release()
        heard += listen(crew)
    assert not every(Failure, heard)
    assert job.budget <= shared.T < job.budget + 2 * job.t_max
    assert shared.T == int(shared.counters[:, 0].sum()) == sum(report.steps for report in every(Interval, heard))
    assert shared.updates == sum(report.updates for report in every(Interval, heard))
    assert max(report.T for report in every(Interval, heard)) == shared.T
    assert sorted(crew.states) == [0, 1]
    assert crew.states[0].state != crew.states[1].state
    first = [next(game.score for game in every(EpisodeEnd, heard) if game.worker == i) for i in (0, 1)]
    assert first[0] != first[1]  # sixteen actions, spelt in binary


@pytest.mark.faults
def test_ctrl_c_while_processes_are_waited_for_ends_those_that_do_not_go(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(supervisor, "JOIN_SECONDS", 60)

    def work():
        with Crew(*prepare(env="tests.runtime.toys:Lingering", threads=2, frames=200)) as crew:
            listen(crew)
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
    with Crew(*prepare(env="tests.runtime.toys:Closing", threads=2, frames=200)) as crew:
        heard = listen(crew)
    assert len(list(tmp_path.iterdir())) == 2
    assert not every(Failure, heard)
    assert sorted(crew.states) == [0, 1]


def test_a_worker_computes_with_one_thread_whatever_the_parent_does(monkeypatch):
    for variable in THREAD_VARIABLES:
        monkeypatch.setenv(variable, "2")
    job, shared = prepare(env="tests.runtime.toys:Threads", frames=10)
    with Crew(job, shared) as crew:
        heard = listen(crew)
    assert not every(Failure, heard)
    assert [game.score for game in every(EpisodeEnd, heard)] == [1.0] * 10
    assert [os.environ[variable] for variable in THREAD_VARIABLES] == ["2"] * 4


def test_parked_workers_stand_still_with_their_states_told_and_go_on_where_they_were():
    job, shared = prepare(threads=2, frames=ENDLESS)
    with Crew(job, shared) as crew:
        listen(crew, lambda heard: shared.counters[:, 0].min() > 100)
        told = list(crew.park())
        assert sorted(crew.states) == [0, 1]
        T, theta, states = shared.T, shared.theta.clone(), dict(crew.states)
        time.sleep(0.2)
        assert not list(crew.hear(timeout=0))
        assert (shared.T, crew.states) == (T, states)
        assert torch.equal(shared.theta, theta)
        assert max(report.T for report in every(Interval, told)) == T
        crew.release()
        assert wait_until(lambda: shared.T > T + 1_000)
        crew.stop()
        assert not every(Failure, listen(crew))
    assert crew.states != states


def test_a_worker_that_raises_says_why_and_the_others_go_on_whatever_signal_they_get(monkeypatch):
    monkeypatch.setenv("ASYNCRL_TEST_FAULT", "raise")
    job, shared = prepare(env="tests.runtime.toys:Fault", threads=2, frames=ENDLESS)
    with suppress(ZeroDivisionError), Crew(job, shared) as crew:
        (failure,) = every(Failure, listen(crew, lambda heard: every(Failure, heard)))
        listen(crew, lambda heard: shared.counters[0, STEPS] > 0)
        for number in PARENTS:
            os.kill(crew._seats[0].process.pid, number)
        T = shared.T
        assert not every(Failure, listen(crew, lambda heard: shared.T > T + 100))
        assert crew.is_running
        raise ZeroDivisionError  # nobody is waited for then
    assert failure.worker == 1
    assert failure.reason.startswith("RuntimeError: the floor gave way (toys.py:")
    assert 'raise RuntimeError("the floor\\ngave way")' in failure.traceback
    assert crew._seats[0].process.exitcode == -signal.SIGKILL


DEATH = "died without a word "


@pytest.mark.parametrize(
    ("exitcode", "ending", "said"),
    [(0, True, None), (None, True, None), (-9, True, DEATH + "(signal 9)"), (-9, False, DEATH + "(signal 9)"),
     (3, False, DEATH + "(exit code 3)"), (0, False, "left before the end"), (None, False, "left before the end")],
)  # fmt: skip
def test_the_end_of_a_pipe_is_a_failure_if_the_process_failed_or_left_early(exitcode, ending, said):
    """None: it has said all, and is slow to go. What fails once the budget is met does not fail the run."""
    job, shared = prepare(workers={"restarts": 0})
    shared.advance(0, job.budget if ending else job.budget - 1)
    crew = Crew(job, shared)
    ours, theirs = CONTEXT.Pipe(duplex=False)
    ended, other = CONTEXT.Pipe(duplex=False)
    process = SimpleNamespace(
        exitcode=exitcode, sentinel=ended.fileno(), join=lambda timeout=None: None, kill=int, is_alive=lambda: True
    )
    crew._seats[0].ear, crew._seats[0].process = Ear(ours, crew._heard), process
    crew._seats[0].ear.start()
    theirs.close()
    heard = listen(crew)
    assert heard == ([Failure(0, f"worker 0 {said}", "", is_final=not ending)] if said else [])
    ended.close()
    other.close()


def test_a_word_left_half_said_holds_up_nobody_else():
    job, shared = prepare(threads=2, workers={"restarts": 0})
    crew = Crew(job, shared)
    alive = SimpleNamespace(exitcode=None, join=lambda timeout=None: None, kill=int, is_alive=lambda: True)
    pipes = [CONTEXT.Pipe(duplex=False) for _ in range(2)]
    for seat, (ours, _) in zip(crew._seats, pipes, strict=True):
        seat.ear, seat.process = Ear(ours, crew._heard), alive
        seat.ear.start()
    os.write(pipes[0][1].fileno(), b"\0\0\1")
    said = EpisodeEnd(1, 2.0, 3, 4, 5, None)
    pipes[1][1].send(said)
    assert listen(crew, lambda heard: bool(heard)) == [said]
    for _, theirs in pipes:
        theirs.close()
    for seat in crew._seats:
        seat.ear.close()


def test_where_not_all_workers_can_be_started_none_is_left(monkeypatch):
    job, shared = prepare(threads=2, frames=ENDLESS)
    start = supervisor.start

    def fail_at_the_second(target, args, name, threads):
        if name == "asyncrl-1":
            raise OSError("no more processes")
        return start(target, args, name, threads)

    monkeypatch.setattr(supervisor, "start", fail_at_the_second)
    crew = Crew(job, shared)
    with pytest.raises(OSError, match="no more processes"), crew:
        pass
    assert [seat.process is not None for seat in crew._seats] == [True, False]
    assert not crew._seats[0].process.is_alive()


PATIENT = {"restarts": 1_000, "hang_seconds": 60.0}


def test_killed_workers_are_replaced_while_the_others_go_on():
    """A random worker is killed, at random instants of its work."""
    job, shared = prepare(threads=2, frames=ENDLESS, workers=PATIENT)
    chance = random.Random(1)
    failures, alone = [], 0
    with Crew(job, shared) as crew:
        for _ in range(2):
            before = shared.counters[:, STEPS].clone()
            listen(crew, lambda heard: bool((shared.counters[:, STEPS] > before + 50).all()))  # noqa: B023
            time.sleep(chance.random() / 20)
            victim, other = chance.sample([0, 1], 2)
            os.kill(crew._seats[victim].process.pid, signal.SIGKILL)
            steps = int(shared.counters[other, STEPS])
            heard = listen(crew, lambda heard: every(Failure, heard))
            failures += every(Failure, heard)
            crew._seats[victim].failures.clear()  # long ago
            heard = listen(crew, lambda heard: crew._seats[victim].ear is not None)  # noqa: B023
            alone += int(shared.counters[other, STEPS]) > steps
        crew.stop()
        failures += every(Failure, listen(crew))
    assert len(failures) == alone == 2
    assert {failure.reason[8:] for failure in failures} == {" died without a word (signal 9)"}
    assert all(failure.is_replaced and not failure.is_final for failure in failures)
    assert [seat.started for seat in crew._seats] == [
        1 + sum(failure.worker == i for failure in failures) for i in (0, 1)
    ]


@pytest.mark.faults
def test_a_budget_is_met_with_workers_that_were_replaced():
    job, shared = prepare(threads=2, frames=6_000, workers=PATIENT)
    with Crew(job, shared) as crew:
        listen(crew, lambda heard: shared.T > 500)
        os.kill(crew._seats[1].process.pid, signal.SIGKILL)
        heard = listen(crew)
    assert len(every(Failure, heard)) == 1
    assert job.budget <= shared.T < job.budget + 2 * job.t_max
    assert shared.T == int(shared.counters[:, STEPS].sum())


@pytest.mark.faults
def test_a_worker_that_fails_too_often_is_not_replaced_again_and_says_what_it_played(monkeypatch):
    monkeypatch.setenv("ASYNCRL_TEST_FAULT", "raise")
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.0)
    job, shared = prepare(env="tests.runtime.toys:Fault", threads=2, frames=ENDLESS, workers={"restarts": 2})
    with Crew(job, shared) as crew:
        heard = listen(crew, lambda heard: any(failure.is_final for failure in every(Failure, heard)))
        assert crew._seats[0].ear is not None
        crew.stop()
        heard += listen(crew)
    failures = every(Failure, heard)
    assert [(failure.worker, failure.is_final) for failure in failures] == [(1, False), (1, False), (1, True)]
    assert all(80 <= failure.played < 100 for failure in failures)
    assert len({failure.seeds for failure in failures}) == 3  # each played other games
    assert all(len(failure.seeds) == 1 for failure in failures)


def test_an_environment_that_never_made_a_step_is_a_mistake_and_ends_at_once(monkeypatch):
    job, shared = prepare(env="tests.runtime.toys:Stillborn", threads=2, frames=ENDLESS, workers=PATIENT)
    with Crew(job, shared) as crew:
        (first, *_) = every(Failure, listen(crew, lambda heard: every(Failure, heard)))
        crew.stop()
        listen(crew)
    assert first.is_final
    assert "no licence" in first.reason


@pytest.mark.faults
def test_a_worker_that_stands_still_is_found_ended_and_replaced(slow_start):
    job, shared = prepare(threads=2, frames=ENDLESS, workers=PATIENT | {"hang_seconds": 1.0})
    with Crew(job, shared) as crew:
        listen(crew, lambda heard: shared.counters[:, STEPS].min() > 500)
        hung = crew._seats[0].process
        os.kill(hung.pid, signal.SIGSTOP)
        (failure,) = every(Failure, listen(crew, lambda heard: every(Failure, heard)))
        steps = int(shared.counters[0, STEPS])
        listen(crew, lambda heard: int(shared.counters[0, STEPS]) > steps)
        crew.stop()
        listen(crew)
    assert (failure.worker, failure.is_final) == (0, False)
    assert "worker 0 hung: it finished no rollout for" in failure.reason
    assert hung.exitcode == -signal.SIGKILL


@pytest.mark.faults
def test_one_that_stands_still_delays_neither_a_pause_nor_the_end_for_long(monkeypatch, slow_start):
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 1.0)
    job, shared = prepare(threads=2, frames=ENDLESS, workers=PATIENT | {"hang_seconds": 1.0})
    with Crew(job, shared) as crew:
        listen(crew, lambda heard: shared.counters[:, STEPS].min() > 500)
        os.kill(crew._seats[1].process.pid, signal.SIGSTOP)
        assert every(Failure, crew.park())
        assert shared.counters[0, PARKED]
        assert crew._seats[1].ear is None  # it is not replaced before all go on
        crew.release()
        listen(crew, lambda heard: crew._seats[1].ear is not None)
        listen(crew, lambda heard: shared.counters[0, PARKED] == 0)
        os.kill(crew._seats[0].process.pid, signal.SIGSTOP)
        crew.stop()
        assert not every(Failure, listen(crew))


@pytest.mark.faults
def test_one_that_is_frozen_while_it_stands_still_is_found_when_the_others_go_on(slow_start):
    job, shared = prepare(threads=2, frames=ENDLESS, workers=PATIENT | {"hang_seconds": 1.0})
    with Crew(job, shared) as crew:
        listen(crew, lambda heard: shared.counters[:, STEPS].min() > 500)
        list(crew.park())
        os.kill(crew._seats[0].process.pid, signal.SIGSTOP)
        os.kill(crew._seats[1].process.pid, signal.SIGKILL)
        crew.release()
        failures = every(Failure, listen(crew, lambda heard: len(every(Failure, heard)) == 2))
        crew.stop()
        listen(crew)
    assert sorted(failure.worker for failure in failures) == [0, 1]
    assert all(failure.is_replaced for failure in failures)


@pytest.mark.faults
def test_a_pause_of_any_length_is_nobodys_hang(monkeypatch, slow_start):
    """Nor is a parent that was away, as it is after Ctrl-Z."""
    monkeypatch.setattr(supervisor, "SLOW", 1)
    job, shared = prepare(
        env="tests.runtime.toys:Slow", threads=2, frames=ENDLESS, workers=PATIENT | {"hang_seconds": 4.0}
    )
    with Crew(job, shared) as crew:
        heard = listen(crew, lambda heard: shared.counters[:, STEPS].min() > 0)
        for pause in (True, False):
            if pause:
                list(crew.park())
            time.sleep(5)
            if pause:
                crew.release()
            before = shared.counters[:, STEPS].clone()
            heard += listen(crew, lambda heard: (shared.counters[:, STEPS] > before).all())  # noqa: B023
        crew.stop()
        heard += listen(crew)
    assert not every(Failure, heard)


def test_a_slow_start_makes_nobody_patient_with_what_comes_later():
    seat = Seat(0, None)
    seat.look(0, 9.0)
    assert seat.patience(2.0) == STARTING * 2.0
    seat.look(5, 1.0)
    assert seat.patience(2.0) == STARTING * 2.0  # nothing is known of its rollouts yet
    for progress in range(10, 60, 5):
        seat.look(progress, 0.1)
        assert seat.patience(2.0) < 4.0
    seat.look(60, 60.0)
    assert seat.patience(2.0) > 200.0  # where one took a minute


def test_hangs_are_counted_however_long_they_take():
    seat = Seat(0, None)
    counted = [seat.count_failure(now, window=12 * 300.0) for now in range(0, 12 * 300, 300)]
    assert counted == list(range(1, 13))
    assert seat.count_failure(10**6, window=600.0) == 1


@pytest.mark.faults
def test_one_that_missed_the_end_of_a_pause_takes_part_in_the_next(slow_start):
    job, shared = prepare(threads=2, frames=ENDLESS, workers=PATIENT)
    with Crew(job, shared) as crew:
        listen(crew, lambda heard: shared.counters[:, STEPS].min() > 100)
        list(crew.park())
        frozen = crew._seats[1].process.pid
        os.kill(frozen, signal.SIGSTOP)
        crew.release()
        shared.order(PARK, 2)  # the next pause has begun when it wakes
        os.kill(frozen, signal.SIGCONT)
        assert not every(Failure, crew.park())
        assert crew._told == {0, 1}
        crew.release()
        crew.stop()
        listen(crew)
