import io
import json
import os
import pickle
import random
import resource
import shutil
import subprocess
import sys
import warnings
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from asyncrl.errors import InputError
from asyncrl.store import manifest
from asyncrl.store.checkpoint import Best, Checkpoint, CheckpointError, best, forget_best, load, mark_best, save

FILES = ["state.safetensors", "workers.json", "manifest.json"]
TRUNCATED, FLIPPED = "the newest checkpoint truncated", "one bit of the newest checkpoint flipped"
KILLED = "SIGKILL at every line and system call of saving a checkpoint"
BOMB = "a pickle in the place of a checkpoint's file"


def make(step, scale=1.0):
    rng = torch.tensor([3, 255], dtype=torch.uint8)
    tensors = {"theta": torch.arange(40.0) * scale, "g": torch.zeros(40), "rng": rng}
    workers = [{"rng": {"state": 2**127 + step}, "epsilon": 0.1 + 0.2}, {"rng": None, "epsilon": None}]
    return Checkpoint(step, tensors, workers, {"config": "abc", "seconds": 1 / 3})


def assert_same(one, other):
    assert one._replace(tensors={}) == other._replace(tensors={})
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        assert tensor.dtype == other.tensors[name].dtype
        assert torch.equal(tensor, other.tensors[name])


def names(run):
    return sorted(os.listdir(run / "checkpoints"))


@pytest.fixture
def run(tmp_path):
    """A run with checkpoints 100 and 200."""
    for step in (100, 200):
        save(tmp_path, make(step))
    return tmp_path


def newest(run):
    return run / "checkpoints" / "000000000200"


def assert_falls_back(run, message="damaged"):
    with pytest.warns(UserWarning, match=message) as caught:
        checkpoint = load(run)
    assert_same(checkpoint, make(100))
    assert len(caught) == 1
    assert "Going back to step 100" in str(caught[0].message)


def test_what_is_saved_comes_back_bit_for_bit(run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(load(run), make(200))
        assert_same(load(run, "100"), make(100))
        assert_same(load(run, "000000000200"), make(200))
    assert names(run) == ["000000000100", "000000000200"]
    assert sorted(os.listdir(newest(run))) == sorted(FILES)


def test_odd_tensors_come_back(tmp_path):
    shared = torch.randn(6, 4).share_memory_()
    tensors = {
        "view": shared[1:3],
        "columns": shared.T,
        "overlapping": shared,
        "leaf": torch.ones(2, requires_grad=True),
        "scalar": torch.tensor(3),
        "empty": torch.empty(0),
        "nan": torch.tensor([float("nan"), -0.0]),
    }
    save(tmp_path, Checkpoint(0, tensors, [], {}))
    loaded = load(tmp_path).tensors
    for name, tensor in tensors.items():
        assert loaded[name].shape == tensor.shape
        assert loaded[name].numpy().tobytes() == tensor.detach().contiguous().numpy().tobytes()


def test_files_have_the_modes_of_the_umask(run):
    mask = os.umask(0)
    os.umask(mask)
    assert {(newest(run) / name).stat().st_mode & 0o777 for name in FILES} == {0o666 & ~mask}


def test_the_last_few_and_the_best_are_kept(tmp_path):
    for step in range(0, 600, 100):
        save(tmp_path, make(step))
        if step == 100:
            mark_best(tmp_path, step, -3.5)
    assert names(tmp_path) == [f"{step:012d}" for step in (100, 300, 400, 500)] + ["best.json"]
    assert best(tmp_path) == (100, -3.5)
    assert_same(load(tmp_path, "best"), make(100))


def test_never_fewer_than_two_are_kept(tmp_path):
    for step in (100, 200, 300):
        save(tmp_path, make(step), keep=1)
    assert names(tmp_path) == ["000000000200", "000000000300"]


def test_only_whole_ones_count_as_kept(tmp_path):
    for step in (100, 200, 300, 400):
        save(tmp_path, make(step), keep=9)
    for step in (300, 400):
        (tmp_path / "checkpoints" / f"{step:012d}" / "workers.json").write_text("[]")
    save(tmp_path, make(500), keep=3)
    assert names(tmp_path) == [f"{step:012d}" for step in (100, 200, 300, 400, 500)]
    save(tmp_path, make(600), keep=2)
    assert names(tmp_path) == [f"{step:012d}" for step in (500, 600)]


def test_one_that_goes_back_in_steps_is_not_pruned_at_once(tmp_path):
    for step in (300, 400, 100):
        save(tmp_path, make(step), keep=2)
    assert names(tmp_path) == [f"{step:012d}" for step in (100, 300, 400)]


def test_nothing_is_pruned_when_saving_fails(run, monkeypatch):
    monkeypatch.setattr(manifest, "sync_directory", lambda path: (path / FILES[0]).write_bytes(b"rot"))
    with pytest.raises(OSError, match="damaged"):
        save(run, make(300), keep=2)
    assert names(run) == ["000000000100", "000000000200"]


def test_the_same_step_is_saved_again(run):
    save(run, make(200, scale=2.0))
    assert_same(load(run), make(200, scale=2.0))
    assert names(run) == ["000000000100", "000000000200"]


def test_one_that_was_displaced_stands_in_until_its_successor_has_its_name(run):
    displaced = newest(run).with_name("000000000200-displaced")
    newest(run).rename(displaced)
    assert_same(load(run), make(200))
    assert_same(load(run, "200"), make(200))
    save(run, make(200, scale=2.0))
    assert names(run) == ["000000000100", "000000000200"]
    shutil.copytree(run / "checkpoints" / "000000000100", displaced)
    assert_same(load(run), make(200, scale=2.0))


def test_a_damaged_one_is_replaced_when_its_step_comes_again(run):
    (newest(run) / FILES[0]).unlink()
    save(run, make(200))
    assert_same(load(run), make(200))


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_found(run, name, faults):
    path = newest(run) / name
    whole = path.read_bytes()
    for size in random.Random(0).sample(range(len(whole) - 1), 17):  # all but the manifest's last newline
        path.write_bytes(whole[:size])
        faults.inject(TRUNCATED)
        assert_falls_back(run)
        faults.survive(TRUNCATED)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found(run, name, faults):
    path = newest(run) / name
    whole = path.read_bytes()
    for bit in random.Random(1).sample(range(8 * len(whole)), 70):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        faults.inject(FLIPPED)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            checkpoint = load(run)
        if caught:
            assert_same(checkpoint, make(100))
        else:  # white space between the manifest's words
            assert name == "manifest.json"
            assert json.loads(flipped) == json.loads(whole)
            assert_same(checkpoint, make(200))
        faults.survive(FLIPPED)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found(run, name):
    (newest(run) / name).unlink()
    assert_falls_back(run, f"{name}: No such file")


def test_a_file_in_the_place_of_a_checkpoint_is_found(run):
    shutil.rmtree(newest(run))
    newest(run).write_text("mine")
    assert_falls_back(run)


def test_files_of_two_checkpoints_do_not_mix(run):
    save(run, make(300, scale=3.0))
    shutil.copy(run / "checkpoints" / "000000000300" / FILES[0], newest(run) / FILES[0])
    with pytest.raises(CheckpointError, match="damaged"):
        load(run, "200")


def test_where_all_are_damaged_nothing_is_loaded(run):
    for path in (run / "checkpoints").iterdir():
        (path / FILES[0]).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"No checkpoint .* is intact") as caught:
        load(run)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, InputError)


def test_a_step_that_is_asked_for_is_never_exchanged_for_another(run):
    mark_best(run, 200, 1.0)
    (newest(run) / FILES[0]).write_bytes(b"")
    for which in ("200", "best"):
        with pytest.raises(CheckpointError, match="damaged"):
            load(run, which)


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was executed')",)


def torch_dumps(value):
    torch.save(value, buffer := io.BytesIO())
    return buffer.getvalue()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("dump", [pickle.dumps, torch_dumps], ids=["pickle", "torch"])
@pytest.mark.parametrize("signed", [False, True], ids=["alone", "with-hashes-that-fit"])
def test_a_pickle_is_refused_never_executed(run, name, dump, signed, faults):
    (newest(run) / name).write_bytes(dump(Bomb()))
    if signed and name != "manifest.json":
        sign(newest(run))
    faults.inject(BOMB)
    assert_falls_back(run)
    faults.survive(BOMB)


def sign(path, **changes):
    """Give a directory a manifest that fits its files, as an attacker or a newer asyncrl would."""
    entries = {**json.loads((path / "manifest.json").read_text()), **changes}
    del entries["digest"]
    entries["sha256"] = {name: sha256((path / name).read_bytes()).hexdigest() for name in FILES[:2]}
    digest = sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps({**entries, "digest": digest}))


def test_a_newer_format_is_refused_and_not_passed_over(run):
    sign(newest(run), format=2)
    for which in ("last", "200"):
        with pytest.raises(CheckpointError, match=r"newer asyncrl \(format 2; this one reads up to 1\)"):
            load(run, which)


def test_what_is_missing_is_said(run, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        load(empty)
    with pytest.raises(CheckpointError, match="has no best checkpoint yet"):
        load(run, "best")
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 150; it has 200, 100\."):
        load(run, "150")
    with pytest.raises(CheckpointError, match=r"'last', 'best' or a step \(200, 100\); got 'latest'"):
        load(run, "latest")
    with pytest.raises(CheckpointError, match="no checkpoint of step 150"):
        mark_best(run, 150, 0.0)
    assert best(run) is None
    for damaged in ("{", "[]", '{"step": 100}', '{"step": [], "score": 1.0}'):
        (run / "checkpoints" / "best.json").write_text(damaged)
        assert best(run) is None


def test_the_best_is_forgotten_where_it_is_later_than_what_a_run_goes_back_to(run):
    mark_best(run, 200, 1.0)
    forget_best(run, 200)
    assert best(run) == Best(200, 1.0)
    forget_best(run, 100)
    assert best(run) is None


@pytest.mark.parametrize("limit", [0, 10, 300, 5_000, 100_000])
def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(run, limit):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            save(run, make(300)._replace(tensors={"theta": torch.zeros(50_000)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(run) == ["000000000100", "000000000200"]
    assert_same(load(run), make(200))


def test_a_full_disk_leaves_the_best_as_it_was(run, monkeypatch):
    mark_best(run, 100, 1.0)
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.write(-1, b""))  # an OSError
    with pytest.raises(OSError, match="Bad file descriptor"):
        mark_best(run, 200, 2.0)
    assert best(run) == (100, 1.0)
    assert names(run) == ["000000000100", "000000000200", "best.json"]


def test_everything_is_synced_before_it_has_its_name(run, monkeypatch):
    tape = []
    rename = Path.rename
    monkeypatch.setattr(os, "fsync", lambda descriptor: tape.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    monkeypatch.setattr(Path, "rename", lambda old, new: (tape.append(f"{old} -> {new}"), rename(old, new)))
    save(run, make(300))
    folder = run / "checkpoints"
    hidden = tape[3]
    assert tape == [*(f"{hidden}/{name}" for name in FILES), hidden, f"{hidden} -> {folder}/000000000300", str(folder)]


KILL = """
import os, signal, sys
from pathlib import Path
import asyncrl.store
import tests.store.test_checkpoint as here

def die_at(instant, run, every_line):
    count = 0
    def tick():
        nonlocal count
        count += 1
        if count > instant:
            os.kill(os.getpid(), signal.SIGKILL)
    def hook(event, arguments):
        if event in ("os.mkdir", "os.rename", "os.rmdir", "os.remove", "os.fsync") or (
            event == "open" and str(arguments[0]).startswith(str(run))
        ):
            tick()
    def trace(frame, event, argument):
        if frame.f_code.co_filename.startswith(asyncrl.store.__path__[0]):
            if event == "line":
                tick()
            return trace
    sys.addaudithook(hook)
    if every_line:
        sys.settrace(trace)

os.fsync = lambda descriptor: sys.audit("os.fsync")  # what the kernel has outlives a process
for case, steps in enumerate(here.BEFORE):
    for instant in range(1000):
        run = Path(sys.argv[1]) / str(case) / str(instant)
        run.mkdir(parents=True)
        for step in steps:
            here.save(run, here.make(step))
        if (child := os.fork()) == 0:
            die_at(instant, run, len(sys.argv) > 2)
            here.save(run, here.make(300, scale=3.0), keep=2)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break
"""
BEFORE = [[100, 200], [300]]


def test_sigkill_at_any_instant_of_saving_leaves_the_old_or_the_new(tmp_path, monkeypatch, faults):
    command = [sys.executable, "-W", "ignore", "-c", KILL, str(tmp_path)]
    subprocess.run(command + faults.times([], ["at every line"]), check=True, cwd=Path(__file__).parents[2])
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for case, steps in enumerate(BEFORE):
        runs = list((tmp_path / str(case)).iterdir())
        assert faults.times(15, 100) < len(runs) < 1_000
        faults.inject(KILLED, len(runs))
        assert {assert_survived(run, steps[-1]) for run in runs} == {"old", "new"}
        faults.survive(KILLED, len(runs))


def assert_survived(run, old):
    for path in (run / "checkpoints").glob("0*"):
        manifest.read(path, FILES[:2])  # every visible checkpoint is valid
    checkpoint = load(run)
    new = checkpoint.step == 300 and bool(checkpoint.tensors["theta"][1] == 3.0)
    assert_same(checkpoint, make(300, scale=3.0) if new else make(old))
    save(run, make(400), keep=2)
    assert not list((run / "checkpoints").glob(".tmp-*"))
    assert_same(load(run), make(400))
    return "new" if new else "old"
