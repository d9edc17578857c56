"""A training session, with real processes: what it writes, how it ends, and that nothing else is left of it."""

import errno
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from asyncrl import experiment
from asyncrl.errors import Exit, RunFailed, Stopped
from asyncrl.runtime.parameters import STEPS, UPDATES, SharedParameters
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store import retrying_writer
from asyncrl.store.checkpoint import load
from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from asyncrl.training import weight_guard
from tests.faults import launch
from tests.runtime.setups import children, is_alive, resolve, wait_until

pytestmark = pytest.mark.usefixtures("nothing_left")

FOREVER = 10**9  # frames


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a finished run of two workers, what it was seen to do, its memory, and the seconds it took."""
    every = {"every": 2_000}
    config = resolve(
        env="tests.runtime.toys:SlowExam", threads=2, frames=6_000, log_seconds=0.3, algo="n-step-q",
        checkpoints=every, evaluation=every | {"episodes": 2},
    )  # fmt: skip
    views, saved, memory = [], [], []
    allocate, save = SharedParameters.allocate, checkpoints.save

    def watch(run, checkpoint, keep):
        living = [child.name for child in multiprocessing.active_children() if child.name != "asyncrl-evaluator"]
        saved.append((checkpoint.step, checkpoint.tensors["counters"].clone(), living))
        return save(run, checkpoint, keep)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SharedParameters, "allocate", lambda *args: memory.append(allocate(*args)) or memory[0])
        patch.setattr(checkpoints, "save", watch)
        began = time.monotonic()
        run = experiment.train(config, tmp_path_factory.mktemp("results"), show=views.append)
        seconds = time.monotonic() - began
    return SimpleNamespace(run=run, config=config, views=views, saved=saved, shared=memory[0], seconds=seconds)


def test_it_ends_within_a_rollout_of_each_worker_of_the_budget(finished):
    document = read_document(finished.run)
    assert 6_000 <= document["steps"] < 6_000 + 2 * 5
    assert (document["status"], document["reason"], document["failure"]) == ("finished", None, None)
    assert document["frames"] == document["steps"] == finished.shared.T
    assert document["updates"] == finished.shared.updates


def test_the_last_checkpoint_holds_what_was_there_when_all_had_ended(finished):
    last = load(finished.run)
    assert last.step == finished.shared.T == int(last.tensors["counters"][:, STEPS].sum())
    for name, tensor in finished.shared.tensors().items():
        assert torch.equal(last.tensors[name], tensor)
    assert [sorted(state) for state in last.workers] == [
        ["global_torch_rng", "key", "record", "steps", "torch_rng"]
    ] * 2
    assert finished.saved[-1][2] == []
    assert last.meta["health"] == {"skipped": 0, "restarts": 0}


def test_checkpoints_on_the_way_are_taken_while_all_stand_still(finished):
    *on_the_way, last = finished.saved
    assert on_the_way
    for step, counters, living in on_the_way:
        assert step == int(counters[:, STEPS].sum())
        assert len(living) == 2
    steps = [step for step, _, _ in finished.saved]
    assert [step // 2_000 for step in steps[:-1]] == list(range(1, len(steps)))
    assert int(last[1][:, UPDATES].sum()) == finished.shared.updates


def test_rows_say_frames_steps_updates_and_seconds_and_never_go_back(finished):
    for name in ("episodes", "metrics", "evaluations"):
        rows = read_rows(finished.run, name)
        assert len(rows) >= 2
        assert all(row["frames"] == row["steps"] for row in rows)
        for column in ("steps", "seconds", "updates") if name != "episodes" else ("seconds",):
            values = [row[column] for row in rows]
            assert values == sorted(values)
    assert read_rows(finished.run, "metrics")[-1]["steps"] == finished.shared.T
    assert {"loss", "q", "td_error", "grad_norm", "policy_lag"} < read_rows(finished.run, "metrics")[-1].keys()


def test_games_are_those_that_were_trained_on(finished):
    games = read_rows(finished.run, "episodes")
    assert {game["worker"] for game in games} == {0, 1}
    steps = sum(game["length"] for game in games)
    assert finished.shared.T - 2 * 5 <= steps <= finished.shared.T  # all but the two that were in play


def test_evaluations_cost_neither_steps_nor_seconds_and_the_best_is_kept(finished):
    rows = read_rows(finished.run, "evaluations")
    assert [(row["kind"], row["protocol"], row["episodes"]) for row in rows] == [("training", "gymnasium", 2)] * len(
        rows
    )
    assert rows[-1]["steps"] == finished.shared.T
    assert [row["steps"] for row in rows] == [step for step, _, _ in finished.saved]
    slept = sum(0.1 * max(row["lengths"]) for row in rows)
    assert read_document(finished.run)["seconds"] <= finished.seconds - slept
    best = max(rows, key=lambda row: row["mean"])
    assert checkpoints.best(finished.run) == (best["steps"], best["mean"])


def test_the_clock_stands_still_before_the_first_step_and_while_workers_do(finished):
    assert {view.seconds for view in finished.views if view.phase == "starting"} == {0}
    pauses = {view.frames: set() for view in finished.views if view.phase == "saving"}
    assert len(pauses) > 1
    for view in finished.views:
        if view.phase in ("saving", "evaluating"):
            pauses[view.frames].add(view.seconds)
    assert all(len(seconds) == 1 for seconds in pauses.values())
    assert sum(view.phase == "evaluating" for view in finished.views) > 1


def test_the_view_follows_from_start_to_end(finished):
    phases = [view.phase for view in finished.views]
    assert (phases[0], phases[-1]) == ("starting", "done")
    assert {"training", "evaluating", "saving"} < set(phases)
    frames = [view.frames for view in finished.views]
    assert frames == sorted(frames)
    assert frames[-1] == finished.shared.T
    assert finished.views[-1].evaluations[-1][0] == finished.shared.T


@pytest.mark.faults
@pytest.mark.parametrize(
    ("fault", "reason"), [("raise", "RuntimeError: the floor gave way"), ("kill", "worker 1 exited unexpectedly")]
)
def test_a_worker_that_dies_ends_the_run_readable_and_ready_to_go_on(tmp_path, monkeypatch, fault, reason):
    monkeypatch.setenv("ASYNCRL_TEST_FAULT", fault)
    config = resolve(env="tests.runtime.toys:Fault", threads=2, frames=FOREVER, workers={"restarts": 0})
    with pytest.raises(RunFailed, match=reason) as caught:
        experiment.train(config, tmp_path)
    run, document = caught.value.run, read_document(caught.value.run)
    assert caught.value.code == Exit.WORKER_FAILED
    assert (document["status"], document["reason"]) == ("failed", caught.value.reason)
    assert document["failure"]["worker"] == 1
    assert ("gave way" in document["failure"]["traceback"]) == (fault == "raise")
    assert {game["worker"] for game in read_rows(run, "episodes")} >= {1}
    failed_at = load(run).step
    assert failed_at == document["steps"] >= 95
    if fault == "kill":  # the one that leaves the least behind
        monkeypatch.delenv("ASYNCRL_TEST_FAULT")
        said = []
        experiment.resume(run, failed_at + 500, show=lambda progress: said.append(read_document(run)))
        assert [said[0][name] for name in ("status", "reason", "failure")] == ["running", None, None]
        document = read_document(run)
        assert (document["status"], document["reason"], document["failure"]) == ("finished", None, None)
        assert document["steps"] >= failed_at + 500


def test_sigterm_stops_it_with_a_checkpoint_and_sighup_does_not_where_nohup_said_so(tmp_path):
    sent = []

    def show(progress):
        for number, frames in ((signal.SIGHUP, 100), (signal.SIGTERM, 300)):
            if progress.frames > frames and number not in sent:
                sent.append(number)
                os.kill(os.getpid(), number)

    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(Stopped, match="stopped by SIGTERM") as caught:
            experiment.train(resolve(frames=FOREVER), tmp_path, show=show)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, old)
    document = read_document(caught.value.run)
    assert sent == [signal.SIGHUP, signal.SIGTERM]
    assert (caught.value.code, document["status"], document["reason"]) == (Exit.TERMINATED, "interrupted", "SIGTERM")
    assert load(caught.value.run).step == document["steps"] > 300
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.fixture
def launched(tmp_path, request):
    """Start a long run of two workers by the command line, in a process group of its own."""
    env, *settings = getattr(request, "param", "CartPole-v1").split()
    said = tmp_path / "said"
    with launch.launched(launch.arguments(tmp_path, "mine", *settings, env=env), said) as process:
        yield SimpleNamespace(process=process, run=tmp_path / "mine", said=said)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("number", "early", "code"),
    [
        (signal.SIGINT, False, Exit.INTERRUPTED),
        (signal.SIGINT, True, Exit.INTERRUPTED),
        (signal.SIGUSR1, True, Exit.WARNED),
    ],
)
def test_a_signal_to_its_group_stops_it_with_a_checkpoint_even_while_workers_start(launched, number, early, code):
    """A terminal sends SIGINT to the whole group, not to the parent alone; a scheduler does so with SIGUSR1."""
    pid = launched.process.pid
    assert wait_until(lambda: len(children(pid)) == 2 and (early or read_rows(launched.run, "metrics")))
    workers = children(pid)
    for _ in range(1 if number == signal.SIGINT else 3):
        os.killpg(pid, number)
    assert launched.process.wait(40) == code, launched.said.read_text()
    assert not any(is_alive(worker) for worker in workers)
    document = read_document(launched.run)
    assert (document["status"], document["reason"]) == ("interrupted", number.name)
    assert load(launched.run).step == document["steps"]
    assert (document["steps"] > 0) != early
    assert "Traceback" not in launched.said.read_text()


@pytest.mark.faults
def test_a_killed_worker_is_replaced_and_told_of_and_nobody_else_may_train_the_run_meanwhile(launched):
    pid = launched.process.pid
    assert wait_until(lambda: len(children(pid)) == 2 and read_rows(launched.run, "metrics"))
    victim = min(children(pid))
    os.kill(victim, signal.SIGKILL)
    assert wait_until(lambda: read_rows(launched.run, "failures") and len(children(pid)) == 2)
    (row,) = read_rows(launched.run, "failures")
    assert row["reason"] == f"worker {row['worker']} exited unexpectedly (signal 9)"
    assert row["is_final"] is False
    assert row["frames"] > 0
    second = [sys.executable, "-m", "asyncrl", "resume", str(launched.run)]
    refused = subprocess.run(second, capture_output=True, text=True, check=False)
    assert refused.returncode == Exit.BAD_INPUT
    assert f"mine is being trained by process {pid} on" in refused.stderr
    games = len(read_rows(launched.run, "episodes"))
    assert wait_until(lambda: row["worker"] in {game["worker"] for game in read_rows(launched.run, "episodes")[games:]})
    os.kill(pid, signal.SIGINT)
    assert launched.process.wait(40) == Exit.INTERRUPTED
    assert read_rows(launched.run, "metrics")[-1]["restarts"] == 1
    assert load(launched.run).meta["health"]["restarts"] == read_document(launched.run)["restarts"] == 1
    assert "1 worker replaced" in launched.said.read_text()
    page = subprocess.run([*second[:3], "show", str(launched.run)], capture_output=True, text=True, check=True).stdout
    assert "Failures after which training continued: 1" in page


@pytest.mark.faults
@pytest.mark.parametrize("launched", ["tests.runtime.toys:Dozing"], indirect=True)
def test_workers_do_not_outlive_a_parent_that_is_killed(launched):
    """Not even those that are in the middle of a step and will not speak for long."""
    assert wait_until(lambda: {game["worker"] for game in read_rows(launched.run, "episodes")} == {0, 1})
    workers = children(launched.process.pid)
    assert len(workers) == 2
    launched.process.kill()
    assert wait_until(lambda: not any(is_alive(worker) for worker in workers), seconds=2)
    assert json.loads((launched.run / "run.json").read_text())["status"] == "running"


ROOM = 16_000  # bytes in a file: enough for run.json, but not for the weights


@pytest.mark.faults
@pytest.mark.parametrize("launched", ["CartPole-v1 checkpoints.every=2k"], indirect=True)
def test_training_goes_on_while_the_disk_is_full_and_a_run_that_ends_on_a_full_one_says_so(launched, faults):
    """The disk is a real limit on the parent's files, lowered and raised while it runs."""

    def allow(size):
        resource.prlimit(launched.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def steps():
        return read_rows(run, "metrics")[-1]["steps"]

    run, said = launched.run, launched.said
    assert wait_until(lambda: (run / "checkpoints").is_dir() and saved_steps(run) and read_rows(run, "metrics"))
    faults.inject("the disk is full", 2)
    allow(ROOM)
    assert wait_until(lambda: "Training continues" in said.read_text())
    saved, before = saved_steps(run), steps()
    assert load(run).step == max(saved)
    assert wait_until(lambda: steps() > before + 2_000)
    assert saved_steps(run) == saved
    allow(resource.RLIM_INFINITY)
    assert wait_until(lambda: max(saved_steps(run)) > max(saved) and read_rows(run, "failures"))
    (row,) = read_rows(run, "failures")
    assert "could not be written for" in row["reason"]
    assert not row["is_final"]

    allow(ROOM)
    assert wait_until(lambda: steps() > max(saved_steps(run)))
    os.kill(launched.process.pid, signal.SIGINT)
    assert launched.process.wait(40) == Exit.DISK_FULL, said.read_text()
    document = read_document(run)
    assert document["status"] == "failed"
    assert document["reason"].startswith("the last checkpoint could not be saved: ")
    assert load(run).step == max(saved_steps(run)) < steps()
    assert not list(run.rglob(".*"))
    lines = [line for line in said.read_text().splitlines() if line.startswith("asyncrl: ")]
    assert ["Training continues" in line for line in lines] == [True, False]  # one warning, and the end
    assert "Traceback" not in said.read_text()
    faults.survive("the disk is full", 2)


@pytest.fixture
def crowded(monkeypatch):
    """Return what lets the first attempts to save fail, as on a full disk, with short waits between them."""
    save = checkpoints.save

    def prepare(times):
        failed = []

        def attempt(*arguments):
            if len(failed) < times:
                failed.append(arguments)
                raise OSError(errno.ENOSPC, "No space left on device")
            return save(*arguments)

        monkeypatch.setattr(checkpoints, "save", attempt)
        monkeypatch.setattr(retrying_writer, "FIRST_RETRY", 0.05)
        return failed

    return prepare


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_a_disk_that_stays_full_ends_the_run_when_there_is_no_patience_left(tmp_path, crowded):
    failed, views = crowded(FOREVER), []
    config = resolve(threads=1, frames=FOREVER, checkpoints={"every": 5_000, "patience_seconds": 0.5})
    with pytest.raises(RunFailed, match=r"no checkpoint could be saved for 0\.5 s: No space left on device") as ended:
        experiment.train(config, tmp_path, show=views.append)
    document = read_document(ended.value.run)
    assert (document["status"], document["failure"]["traceback"], ended.value.code) == ("failed", "", Exit.DISK_FULL)
    assert len(failed) > 3
    assert {view.store_problem for view in views} == {"", "No space left on device"}
    assert [row["is_final"] for row in read_rows(ended.value.run, "failures")] == [True]


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_a_run_that_is_done_waits_for_room_for_its_last_checkpoint(tmp_path, crowded):
    failed = crowded(3)
    run = experiment.train(resolve(threads=1, frames=200, checkpoints={"every": 10_000}), tmp_path)
    assert len(failed) == 3
    assert read_document(run)["status"] == "finished"
    assert load(run).step >= 200
    assert ["could not be written" in row["reason"] for row in read_rows(run, "failures")] == [True]


def test_an_environment_that_exits_is_a_failure(tmp_path):
    config = resolve(env="tests.runtime.toys:Exiting", threads=1, frames=1_000, workers={"restarts": 0})
    with pytest.raises(RunFailed, match="SystemExit: 0"):
        experiment.train(config, tmp_path)


def test_an_environment_whose_own_pipe_breaks_is_named_as_the_failure(tmp_path):
    config = resolve(env="tests.runtime.toys:Unplugged", threads=1, frames=1_000, workers={"restarts": 0})
    with pytest.raises(RunFailed, match="BrokenPipeError: the simulator hung up"):
        experiment.train(config, tmp_path)


def test_a_run_that_is_stopped_in_its_last_evaluation_has_met_its_budget(tmp_path):
    def show(progress):
        if progress.phase == "evaluating" and progress.frames >= 300 and not sent:
            sent.append(progress.frames)
            os.kill(os.getpid(), signal.SIGTERM)

    sent = []
    config = resolve(env="tests.runtime.toys:SlowExam", threads=1, frames=300, evaluation={"episodes": 5, "every": 300})
    run = experiment.train(config, tmp_path, show=show)
    document = read_document(run)
    assert sent
    assert (document["status"], document["reason"]) == ("finished", None)
    assert read_rows(run, "evaluations") == []


@pytest.mark.faults
def test_an_evaluation_that_was_broken_off_is_made_up_for(tmp_path):
    def show(progress):
        if progress.phase == "evaluating" and not sent:
            sent.append(progress.frames)
            os.kill(os.getpid(), signal.SIGTERM)

    sent = []
    every = {"episodes": 5, "every": 5_000}
    config = resolve(env="tests.runtime.toys:SlowExam", threads=1, frames=9_990, evaluation=every)
    with pytest.raises(Stopped):
        experiment.train(config, tmp_path, name="mine", show=show)
    assert read_rows(tmp_path / "mine", "evaluations") == []
    run = experiment.resume(tmp_path / "mine")
    rows = read_rows(run, "evaluations")
    assert [row["steps"] >= 9_990 for row in rows] == [False, True]  # the one that was due, and that of the end
    assert sent[0] == rows[0]["steps"]


POISON = "NaN written into g"


@pytest.fixture
def poison(monkeypatch, faults):
    """Return a function that has NaN written into a run's memory, once it has made some steps: and every time again."""

    def prepare(times):
        memory, done = [], []
        allocate = SharedParameters.allocate
        monkeypatch.setattr(SharedParameters, "allocate", lambda *args: memory.append(allocate(*args)) or memory[0])
        monkeypatch.setattr(weight_guard, "CHECK_SECONDS", 0.2)

        def show(progress):
            if (
                progress.phase == "training"
                and len(done) < times
                and memory[0].T > (len(done) + 1) * 1_500
                and not memory[0].nonfinite()
            ):
                done.append(memory[0].T)
                faults.inject(POISON)
                state = memory[0].tensors()["optimizer_state"]
                state[0, 0, 7] = torch.nan
                memory[0].restore_vectors(memory[0].tensors() | {"optimizer_state": state})

        return show, memory, done

    return prepare


@pytest.mark.faults
def test_weights_that_are_no_numbers_are_taken_from_the_last_checkpoint_and_training_goes_on(tmp_path, poison, faults):
    show, memory, done = poison(2)
    config = resolve(env="tests.runtime.toys:Unhurried", threads=2, frames=12_000, checkpoints={"every": 1_400})
    run = experiment.train(config, tmp_path, show=show)
    assert len(done) == 2
    assert not memory[0].nonfinite()
    document, rows = read_document(run), read_rows(run, "failures")
    assert (document["status"], document["failure"]) == ("finished", None)
    assert 12_000 <= document["steps"] < 12_000 + 2 * 5
    assert len(rows) == 2
    assert all("optimizer_state held numbers that are not finite" in row["reason"] for row in rows)
    assert sum(row["length"] for row in read_rows(run, "episodes")) <= document["steps"]  # none was made twice
    assert all(load(run, str(step)).tensors["theta"].isfinite().all() for step in saved_steps(run))
    faults.survive(POISON, 2)


def saved_steps(run):
    return [int(path.name) for path in (run / "checkpoints").glob("0*")]


@pytest.mark.faults
def test_weights_that_are_no_numbers_again_and_again_end_the_run(tmp_path, poison, faults):
    show, _, done = poison(99)
    # a faster run would save all the time, and show nothing between two checkpoints
    config = resolve(env="tests.runtime.toys:Unhurried", threads=1, frames=FOREVER, checkpoints={"every": 1_400})
    with pytest.raises(RunFailed, match=r"optimizer_state held .* after going back to a checkpoint 3 times") as failed:
        experiment.train(config, tmp_path, show=show)
    assert len(done) == 4
    assert [row["is_final"] for row in read_rows(failed.value.run, "failures")] == [False] * 3 + [True]
    assert all(
        load(failed.value.run, str(step)).tensors["theta"].isfinite().all() for step in saved_steps(failed.value.run)
    )
    faults.survive(POISON, 4)


@pytest.mark.faults
def test_weights_that_are_no_numbers_before_the_first_checkpoint_end_the_run(tmp_path, poison, faults):
    show, _, _ = poison(1)
    with pytest.raises(RunFailed, match="no checkpoint to go back to"):
        experiment.train(resolve(threads=1, frames=FOREVER), tmp_path, show=show)
    faults.survive(POISON)
