"""When the process of a training on a cluster is started again, and when not; here each process is a function."""

import contextlib
import json
import os
import signal
import warnings

import pytest
import torch

from asyncrl.cluster import restarts
from asyncrl.errors import RunFailed, Stopped
from asyncrl.events import Incident, Severity
from asyncrl.store import checkpoint, runs
from asyncrl.store.checkpoint import Checkpoint
from asyncrl.store.rows import read_rows

FIRST, LATER = {"run": "first"}, {"run": "later"}
ERROR = Incident("session", Severity.FATAL, "RuntimeError: no cluster", traceback="Traceback …").row()
WORKER = Incident("worker", Severity.FATAL, "worker 0 raised", traceback="Traceback …").row()
EMPTY = Incident("session", Severity.FATAL, "nothing was learned").row()


class Processes:
    """Starts processes that do what a plan has, in turn, each with an exit code."""

    def __init__(self, *plan):
        self.plan, self.requests, self.signals = list(plan), [], []

    def start(self, command):
        assert command == "train-on-cluster"
        return self

    def send(self, process, request):
        assert request.pop("parent") == os.getpid()
        self.requests.append(request)

    def wait(self):
        return self.plan.pop(0)()

    def send_signal(self, number):
        self.signals.append(number)

    def kill(self):
        raise AssertionError("it has ended")


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "one"
    path.mkdir()
    return path


@pytest.fixture
def train(run, monkeypatch):
    """Return a function that trains with processes, and returns their requests."""
    monkeypatch.setattr(restarts, "FIRST_DELAY", 0.0)

    def train(*plan, allowed=10):
        processes = Processes(*plan)
        monkeypatch.setattr(restarts, "start_command", processes.start)
        monkeypatch.setattr(restarts, "send_request", processes.send)
        with warnings.catch_warnings(record=True) as printed:
            # as in a command: equal texts once
            warnings.simplefilter("default")
            code = restarts.train(run, FIRST, LATER, allowed)
            train.printed = printed
        assert not processes.plan
        return code, processes.requests

    return train


def session(run, code, status="running", step=None, failure=None):
    """Return what a process does that has a session: it saves a checkpoint, and leaves a status."""

    def act():
        with runs.hold(run):
            document = {"format": 1, "id": run.name, "status": status, "failure": failure}
            file = run / "run.json"
            sessions = json.loads(file.read_text())["sessions"] + 1 if file.exists() else 0
            file.write_text(json.dumps(document | {"sessions": sessions}))
            if step is not None:
                checkpoint.save(run, Checkpoint(step, {"theta": torch.zeros(1)}, [], {}))
        return code

    return act


def test_train_process_that_dies_is_started_again_with_the_other_request(run, train):
    code, requests = train(session(run, -9, step=0), session(run, 1, step=20), session(run, 0, "finished"))
    assert (code, requests) == (0, [FIRST, LATER, LATER])
    reasons = [row["reason"] for row in read_rows(run, "failures")]
    assert reasons == [
        "the parameter server was lost: its process exited unexpectedly (signal 9); back to step 0",
        "the parameter server was lost: its process exited unexpectedly (exit code 1); back to step 20",
    ]


@pytest.mark.parametrize(("allowed", "times"), [(10, 3), (2, 2), (0, 0)])
def test_train_session_that_ends_by_an_exception_is_repeated_a_few_times(run, train, allowed, times):
    failed = session(run, 4, "failed", 0, ERROR)
    with pytest.raises(RunFailed, match="lost too often: RuntimeError: no cluster") as error:
        train(*[failed] * (times + 1), allowed=allowed)
    assert error.value.code == 4
    assert len(read_rows(run, "failures")) == times


@pytest.mark.parametrize(
    ("code", "status", "failure"),
    [
        (0, "finished", None),
        (4, "failed", WORKER),
        (4, "failed", EMPTY),
        (5, "running", None),  # the disk was too full for the end of the run
        (143, "interrupted", None),
    ],
)
def test_train_process_that_ends_in_order_is_not_started_again(run, train, code, status, failure):
    assert train(session(run, code, status, 0, failure)) == (code, [FIRST])
    assert not read_rows(run, "failures")


def test_train_losses_in_a_row_count_again_after_a_new_checkpoint(run, train):
    lost = [session(run, -9, step=step) for step in (0, 0, 10, 10)]
    assert train(*lost, session(run, 0, "finished"), allowed=2)[0] == 0
    with pytest.raises(RunFailed, match="lost too often"):
        train(*[session(run, -9)] * 3, allowed=2)


def test_train_process_without_a_session_is_not_started_again(run, train):
    session(run, 0, "running", 0)()  # of another process
    assert train(lambda: 2) == (2, [FIRST])


def test_train_process_that_dies_before_its_session_is_a_failure(train):
    with pytest.raises(RunFailed, match=r"exited unexpectedly \(signal 9\) before it trained"):
        train(lambda: -9)


def test_train_process_that_dies_after_the_end_of_its_session_is_a_failure(run, train):
    with pytest.raises(RunFailed, match=r"exited unexpectedly \(signal 9\) after it trained"):
        train(session(run, -9, "finished", 20))


def test_train_process_that_cannot_continue_for_a_moment_is_started_again(run, train):
    code, requests = train(session(run, -9, step=0), lambda: 2, session(run, 0, "finished"))
    assert (code, len(requests)) == (0, 3)


def test_train_without_a_checkpoint_is_a_failure(run, train):
    with pytest.raises(RunFailed, match=r"\(signal 9\); there is no checkpoint to go back to"):
        train(session(run, -9))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_train_signal_is_passed_on_and_the_process_is_not_started_again(run, train, monkeypatch, number):
    passed = []
    monkeypatch.setattr(Processes, "send_signal", lambda self, number: passed.append(number))
    before = signal.signal(number, signal.SIG_DFL)  # it may be ignored, as in the background of a shell

    def die():
        session(run, 0, step=0)()
        os.kill(os.getpid(), number)
        return -number

    try:
        with pytest.raises(Stopped):
            train(die)
    finally:
        after = signal.signal(number, before)
    assert passed == [number]
    assert after == signal.SIG_DFL


def test_train_signal_while_no_process_trains_stops(run, train, monkeypatch):
    monkeypatch.setattr(restarts, "FIRST_DELAY", 20.0)
    monkeypatch.setattr("time.sleep", lambda seconds: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped) as stopped:
        train(session(run, -9, step=0))
    assert stopped.value.code == 143


@pytest.mark.parametrize("code", [1, 2, 3])
@pytest.mark.parametrize(("status", "failure"), [("running", None), ("failed", ERROR)])
def test_train_first_process_that_does_not_continue_a_lost_run_is_not_started_again(run, train, code, status, failure):
    session(run, 0, status, 0, failure)()

    def refuse():
        with runs.hold(run):
            return code

    assert train(refuse) == (code, [FIRST])
    assert not read_rows(run, "failures")


def test_train_run_that_another_process_trains_is_left_to_it(run, train):
    other = contextlib.ExitStack()

    def refuse():
        other.enter_context(runs.hold(run))
        return 2

    with other:
        assert train(session(run, -9, step=0), refuse) == (2, [FIRST, LATER])
    assert len(read_rows(run, "failures")) == 1


def test_train_equal_losses_are_each_printed(run, train):
    train(*[session(run, -9, step=0)] * 3, session(run, 0, "finished"))
    assert len(train.printed) == 3
    assert len({str(each.message) for each in train.printed}) == 1


def test_train_signal_before_there_is_a_run_offers_no_resume(train):
    def die():
        os.kill(os.getpid(), signal.SIGTERM)
        return -signal.SIGTERM

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert train(die) == (143, [FIRST])
    finally:
        signal.signal(signal.SIGTERM, before)
