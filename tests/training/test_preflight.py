"""What a run needs is there, or it is refused before anything is written."""

import os
import resource
import shutil
import subprocess
import sys
import warnings
from collections import namedtuple
from functools import partial

import pytest

from asyncrl import experiment
from asyncrl.config import RunConfig
from asyncrl.errors import Exit, InputError
from asyncrl.runtime.control import Control
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.system import machine
from asyncrl.training import preflight
from tests.runtime.setups import prepare, resolve

Usage = namedtuple("Usage", "total used free")


OWN_SHM = ("unshare", "--user", "--map-root-user", "--mount")  # a view of the file system that nobody else has
MEGABYTE = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'


@pytest.fixture
def free(monkeypatch):
    """Return what sets the bytes that are free where processes share memory, and where runs are written."""

    def replace(shared=2**40, disk=2**40):
        def usage(path):
            return Usage(2**40, 0, shared if path == machine.SHM else disk)

        monkeypatch.setattr(machine.shutil, "disk_usage", usage)

    return replace


@pytest.mark.parametrize("averaging", [0, 100])
@pytest.mark.parametrize("name", ["shared-rmsprop", "rmsprop", "adam"])
@pytest.mark.parametrize("algo", ["a3c", "one-step-q"])
def test_the_size_of_the_shared_memory_is_known_before_it_is_taken(name, algo, averaging):
    job, shared = prepare(threads=3, algo=algo, optimizer={"name": name}, averaging=averaging)
    has_target = job.target_period is not None
    needed = SharedParameters.size(len(shared.theta), job.workers, job.optimizer, has_target, job.averaging > 0)
    assert needed == sum(part.numel() * part.element_size() for part in shared.tensors().values())


def test_a_run_that_fits_is_let_through_to_the_byte(free, tmp_path):
    job, shared = prepare(threads=2, algo="one-step-q")
    vectors = SharedParameters.size(len(shared.theta), 2, job.optimizer, True, False)
    needed = vectors + Control.size(2)
    checkpoint = vectors + 6 * preflight.STATE_OF_AN_ENVIRONMENT

    def refusal(saved):
        try:
            preflight.check(job, len(shared.theta), 6, tmp_path, 3, saved)
        except InputError as error:
            return str(error).partition(":")[0]
        return None

    free(shared=needed, disk=4 * checkpoint)
    assert refusal(saved=0) is None
    free(shared=needed, disk=checkpoint)
    assert [refusal(saved) for saved in (0, 2, 3, 4)] == ["Disk", "Disk", None, None]
    free(shared=needed, disk=checkpoint - 1)
    assert refusal(saved=4) == "Disk"
    free(shared=needed - 1)
    assert refusal(saved=0) == "Shared memory"


def test_everything_that_is_missing_is_said_at_once_and_nothing_is_written(free, tmp_path):
    free(shared=1_000, disk=1_000)
    with pytest.raises(InputError) as refused:
        experiment.train(resolve(threads=2), tmp_path / "results")
    lines = str(refused.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["Shared memory", "Disk"]
    assert all("need" in line and "free" in line and line.endswith(".") for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_a_crowd_of_threads_is_told_of_and_let_through(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "cores", lambda: 2)
    job, shared = prepare(threads=9)
    with pytest.warns(UserWarning, match="9 threads take turns on 2 cores"):
        preflight.check(job, len(shared.theta), 9, tmp_path, keep=3)


def test_a_megabyte_of_shared_memory_is_one_line_and_no_run(tmp_path, faults):
    """The real thing, as in a container that was started without --shm-size."""
    within = [*OWN_SHM, "sh", "-c", MEGABYTE, "sh"]
    if not shutil.which("unshare") or subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount anything")
    faults.inject("/dev/shm of 1 MB")
    said = said_of_no_run(tmp_path, "--env", "pong", "--threads", "2", within=within)
    assert said.startswith("asyncrl: Shared memory: ")
    faults.survive("/dev/shm of 1 MB")


def said_of_no_run(folder, *options, within=(), preexec_fn=None):
    """Run the command in a folder; see that it is refused and nothing written, and return the one line that it says."""
    command = [*within, sys.executable, "-m", "asyncrl", "run", *options, "--results", "here"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=folder,
        check=False,
        preexec_fn=preexec_fn,
    )
    assert done.returncode == Exit.BAD_INPUT, done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "here").exists()
    return done.stderr


def test_too_few_descriptors_for_the_workers_are_one_line_and_no_run(tmp_path, faults):
    """The real limit, from a shell's point of view: ulimit -n 64."""
    faults.inject("ulimit -n 64 with 16 workers")
    few = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (64, 64))
    said = said_of_no_run(tmp_path, "--env", "CartPole-v1", "--threads", "16", preexec_fn=few)
    assert said.startswith("asyncrl: Open files: 64 at once, a run of 16 workers needs 88. Raise the limit")
    faults.survive("ulimit -n 64 with 16 workers")


@pytest.mark.parametrize(("anneal_frames", "warns"), [(900, True), (1_000, False), (None, False)])
def test_warn_of_schedule_rate_of_zero_before_the_end_is_named(anneal_frames, warns):
    config = RunConfig(frames=1_000, optimizer={"anneal_frames": anneal_frames})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        preflight.warn_of_schedule(config)
    assert [str(each.message)[:42] for each in caught] == ["The learning rate is 0 after 900 of 1,000 "[:42]] * warns
