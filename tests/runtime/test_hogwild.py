"""The crew: real processes that start, speak, stand still, stop and die as they should, and leave nothing behind."""

import os
import signal
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch

from asyncrl.events import EpisodeEnd, Failure, Interval
from asyncrl.runtime import hogwild
from asyncrl.runtime.hogwild import Crew
from asyncrl.runtime.process import CONTEXT, PARENTS, THREAD_VARIABLES
from asyncrl.runtime.shared import STEPS
from tests.runtime.setups import children, prepare, wait_until

ENDLESS = 10**9  # steps


@pytest.fixture(autouse=True)
def leaves_no_process():
    """No test leaves a process behind."""
    before = children(os.getpid())
    yield
    assert wait_until(lambda: children(os.getpid()) <= before)


def listen(crew, until=lambda heard: False):
    """Return what a crew says until it is done, or has said enough."""
    heard = []
    while crew.is_running and not until(heard):
        heard += crew.hear()
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
    assert crew.states[0] != crew.states[1]
    first = [next(game.score for game in every(EpisodeEnd, heard) if game.worker == i) for i in (0, 1)]
    assert first[0] != first[1]  # sixteen actions, spelt in binary


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
            os.kill(crew._processes[0].pid, number)
        T = shared.T
        assert not every(Failure, listen(crew, lambda heard: shared.T > T + 100))
        assert crew.is_running
        raise ZeroDivisionError  # nobody is waited for then
    assert failure.worker == 1
    assert failure.reason.startswith("RuntimeError: the floor gave way (toys.py:")
    assert 'raise RuntimeError("the floor\\ngave way")' in failure.traceback
    assert crew._processes[0].exitcode == -signal.SIGKILL


@pytest.mark.parametrize(("exitcode", "said"), [(0, None), (None, None), (-9, "signal 9"), (3, "exit code 3")])
def test_the_end_of_a_pipe_is_a_failure_only_if_the_process_failed(exitcode, said):
    """None: it has said all, and is slow to go."""
    crew = Crew(*prepare())
    ours, theirs = CONTEXT.Pipe(duplex=False)
    crew._pipes[ours] = 0
    crew._processes.append(SimpleNamespace(exitcode=exitcode, join=lambda timeout: None))
    theirs.close()
    heard = listen(crew)
    assert heard == ([Failure(0, f"worker 0 died without a word ({said})", "")] if said else [])


def test_where_not_all_workers_can_be_started_none_is_left(monkeypatch):
    job, shared = prepare(threads=2, frames=ENDLESS)
    start = hogwild.start

    def fail_at_the_second(target, args, name, threads):
        if name == "asyncrl-1":
            raise OSError("no more processes")
        return start(target, args, name, threads)

    monkeypatch.setattr(hogwild, "start", fail_at_the_second)
    crew = Crew(job, shared)
    with pytest.raises(OSError, match="no more processes"), crew:
        pass
    assert len(crew._processes) == 1
    assert not crew._processes[0].is_alive()
