"""Files of a run are removed, moved and replaced while a real process trains it: it goes on, or says why not."""

import contextlib
import resource
import shutil
import signal
import subprocess
import sys

import pytest

from asyncrl.errors import Exit
from asyncrl.store.checkpoint import load
from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from tests.faults.launch import arguments, launched
from tests.runtime.setups import wait_until
from tests.store.forgery import forge, steps_of

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300), pytest.mark.usefixtures("nothing_left")]
SETTINGS = "checkpoints.every=2k", "checkpoints.patience_seconds=2", "checkpoints.keep=2"


def replace(path, target, make):
    while True:
        delete(path, target)
        # the run may have made its file or directory again: then both are repeated
        with contextlib.suppress(FileExistsError):
            return make()


def make_link(path, target):
    replace(path, target, lambda: path.symlink_to(target))


def move(path, target):
    path.rename(target / path.name)


def replace_by_directory(path, target):
    replace(path, target, path.mkdir)


def write_nonsense(path, target):
    path.write_text("{nonsense")


def delete(path, target):
    # renamed first: the run may write into a directory while its files are deleted
    aside = path.rename(target.with_name("deleted"))
    shutil.rmtree(aside) if aside.is_dir() else aside.unlink()


DAMAGE = {
    "run.json deleted": ("run.json", delete),
    "run.json replaced by nonsense": ("run.json", write_nonsense),
    "run.json replaced by a directory": ("run.json", replace_by_directory),
    "a row file deleted": ("episodes.jsonl", delete),
    "a row file replaced by nonsense": ("episodes.jsonl", write_nonsense),
    "a row file replaced by a link": ("episodes.jsonl", make_link),
    "the checkpoints replaced by a link": ("checkpoints", make_link),
    "the run directory moved away": (".", move),
    "the run directory deleted": (".", delete),
}
FEW = {"run.json deleted", "a row file replaced by a link", "the checkpoints replaced by a link"} | {
    "the run directory moved away"
}


def is_training(run):
    return read_rows(run, "metrics") and steps_of(run)


@pytest.mark.parametrize("fault", DAMAGE)
def test_run_whose_files_are_damaged_goes_on_and_can_be_resumed(faults, tmp_path, fault):
    if not faults.times(fault in FEW, True):
        pytest.skip("at full length only")
    name, damage = DAMAGE[fault]
    run, said, target = tmp_path / "results" / "mine", tmp_path / "said", tmp_path / "elsewhere"
    target.mkdir()
    with launched(arguments(run.parent, "mine", *SETTINGS), said) as process:
        assert wait_until(lambda: is_training(run), 60)
        before = read_document(run)
        faults.inject(fault)
        damage(run / name, target)
        # Each checkpoint writes run.json anew, often before the writer looks for damage.
        is_named = not fault.startswith("run.json")
        assert wait_until(lambda: (run / "run.json").is_file() and (read_rows(run, "failures") or not is_named), 60), (
            said.read_text()
        )
        saved = max(steps_of(run), default=0)
        assert wait_until(lambda: max(steps_of(run), default=0) > saved, 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == Exit.INTERRUPTED, said.read_text()
    document = read_document(run)
    assert (document["config"], document["provenance"]) == (before["config"], before["provenance"])
    assert document["status"] == "interrupted"
    assert load(run).step == document["steps"]
    words = ("written again", "checkpoint", "rows", "created")
    assert not is_named or any(word in row["reason"] for row in read_rows(run, "failures") for word in words)
    assert list(target.iterdir()) in ([], [target / "mine"])
    assert "Traceback" not in said.read_text()
    resume = [sys.executable, "-m", "asyncrl", "resume", str(run), "--frames", f"{document['frames'] + 1_000}"]
    done = subprocess.run(resume, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    faults.survive(fault)


def remove_results(run):
    delete(run.parent, run.parents[1] / "elsewhere")


def move_results(run):
    run.parent.rename(run.parents[1] / "gone")


def replace_results_by_a_file(run):
    remove_results(run)
    run.parent.write_text("")


def replace_results_by_a_loop(run):
    remove_results(run)
    run.parent.symlink_to(run.parent)


GONE = {
    "the results directory deleted": remove_results,
    "the results directory moved away": move_results,
    "the results directory replaced by a file": replace_results_by_a_file,
    "the results directory replaced by a loop of links": replace_results_by_a_loop,
}


@pytest.mark.parametrize("fault", GONE)
def test_run_without_a_place_to_write_to_ends_with_5_after_its_patience(faults, tmp_path, fault):
    if not faults.times(fault == "the results directory moved away", True):
        pytest.skip("at full length only")
    run, said = tmp_path / "results" / "mine", tmp_path / "said"
    with launched(arguments(run.parent, "mine", *SETTINGS), said) as process:
        assert wait_until(lambda: is_training(run), 60)
        faults.inject(fault)
        GONE[fault](run)
        assert process.wait(90) == Exit.DISK_FULL, said.read_text()
    text = said.read_text()
    assert "Traceback" not in text
    assert "no checkpoint could be saved for 2 s" in text
    assert text.count("Training continues, and writes are retried") == 1
    if fault == "the results directory moved away":
        assert load(tmp_path / "gone" / "mine").step > 0
    faults.survive(fault)


def test_run_whose_parent_may_open_no_more_files_goes_on_and_saves_later(faults, tmp_path):
    fault, run, said = "no more open files", tmp_path / "mine", tmp_path / "said"
    with launched(arguments(tmp_path, "mine", *SETTINGS, "checkpoints.patience_seconds=600"), said) as process:
        assert wait_until(lambda: is_training(run), 60)
        faults.inject(fault)
        old = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, old[1]))
        assert wait_until(lambda: "Too many open files" in said.read_text(), 60)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, old)
        saved = max(steps_of(run))
        assert wait_until(lambda: max(steps_of(run)) > saved, 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == Exit.INTERRUPTED, said.read_text()
    assert load(run).step == read_document(run)["steps"]
    faults.survive(fault)


def test_commands_with_checkpoints_that_lie_use_an_earlier_one_or_exit_with_3_and_one_line(faults, tmp_path):
    fault, run = "a checkpoint whose digests are correct and whose contents lie", tmp_path / "mine"
    command = arguments(tmp_path, "mine", "checkpoints.every=1k", frames="4k")
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    commands = [["eval", str(run), "--episodes", "2"], ["record", str(run)], ["resume", str(run), "--frames", "9k"]]

    def ask(words):
        faults.inject(fault)
        words = [sys.executable, "-m", "asyncrl", *words]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)
        assert "Traceback" not in done.stderr
        faults.survive(fault)
        return done

    (path, *earlier) = (run / "checkpoints" / f"{step:012d}" for step in steps_of(run))
    forge(path, lambda tensors, workers, manifest: tensors["counters"].neg_())
    done = ask(commands[0])
    assert done.returncode == 0, done.stderr
    assert "no worker can count" in done.stderr
    for other in earlier:
        forge(other, lambda tensors, workers, manifest: tensors.update(theta=tensors["theta"][1:]))
    files = sorted(run.rglob("*"))
    for words in commands:
        done = ask(words)
        assert done.returncode == Exit.NO_CHECKPOINT, done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert "No checkpoint of mine is intact" in done.stderr
        assert sorted(run.rglob("*")) == files
