"""Every command beside every kind of damage to one run: no exception, no hang, and the other runs are unharmed."""

import json
import os
import random
import shutil
import signal
import threading
from contextlib import contextmanager

import pandas as pd
import pytest

from asyncrl import experiment
from asyncrl.cli.app import main
from asyncrl.training import opening
from tests.analysis.stores import lines, stamp
from tests.damage.damages import Damage, field_damages, file_damages
from tests.runtime.setups import resolve

SECONDS = 60  # that a command may take beside other tests
GOOD = "good"
SAMPLE = 24  # damages of the fast suite
SETTINGS = {"algo": "a3c", "frames": 200, "threads": 1}
CODES = {0, 2, 3}


class Hang(BaseException):
    """A command that takes too long."""


@contextmanager
def alarm(seconds):
    """Raise Hang in the main thread after some seconds; a read that blocks is interrupted."""

    def handler(*_):
        raise Hang

    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Return a finished run with a checkpoint, and two rows or more in each row file."""
    run = experiment.train(resolve(**SETTINGS), tmp_path_factory.mktemp("template"), "template")
    counts = [stamp(frames, skip=1, fps=10.0) for frames in (100, 200)]
    health = {"frames_per_second": 10.0, "learning_rate": 1e-4, "skipped": 0, "restarts": 0, "entropy": 0.5}
    lines(run, "metrics", [row | health | {"act_us": 5.0} for row in counts])
    episode = {"worker": 0, "score": 0.5, "length": 9, "epsilon": None, "completed": True}
    lines(run, "episodes", [row | episode for row in counts])
    found = {"kind": "training", "protocol": "gymnasium", "episodes": 2, "median": 0.5, "std": 0.1, "seed": 1}
    found |= {"scores": [0.4, 0.6], "lengths": [9, 8]}
    lines(run, "evaluations", [row | found | {"mean": 0.5} for row in counts])
    incident = {"source": "worker", "worker": 0, "reason": "exited", "traceback": "", "seeds": [1], "played": 5}
    incident |= {"is_final": False, "is_replaced": True}
    lines(run, "failures", [row | incident for row in counts])
    document = json.loads((run / "run.json").read_text())
    failure = counts[1] | incident
    (run / "run.json").write_text(json.dumps(document | {"exploration": [0.1], "failure": failure, "reason": "x"}))
    return run


@pytest.fixture
def store(template, tmp_path, monkeypatch):
    """Return a function that copies the template to a store under a name, with the original or another seed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(opening, "Session", UntrainedSession)
    monkeypatch.setattr(opening, "ProcessPool", lambda *_: None)

    def copy(root, name, seed=None):
        run = root / name
        shutil.copytree(template, run)
        if seed is None:
            return run
        document = json.loads((run / "run.json").read_text())
        document["config"]["seed"] = seed
        (run / "run.json").write_text(json.dumps(document | {"id": name}))
        rows = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
        lines(run, "evaluations", [row | {"mean": row["mean"] + 1e-4 * seed} for row in rows])
        return run

    return copy


class UntrainedSession:
    """Stands for a training session that is over at once."""

    def __init__(self, run, *_):
        self._run = run

    def run(self, handle_signals=True):
        return self._run


@pytest.fixture
def asyncrl(capsys):
    """Return a function that runs a command line; it returns the exit code, the output and the errors."""

    def run(*arguments):
        capsys.readouterr()
        with alarm(SECONDS), pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def assert_reported(code, err):
    """Check the exit code, and that an error is a short text without a traceback."""
    assert code in CODES, err
    assert "Traceback" not in err
    if code:
        assert err.startswith("asyncrl: ")
        assert len(err.splitlines()) <= 2


def check_commands_on_store(asyncrl, root, has_report=True):
    """Run the commands that read all runs; the good run must be in every output."""
    code, out, err = asyncrl("ls", "--results", root)
    assert code == 0, err
    assert any(line.startswith(GOOD) and "finished" in line for line in out.splitlines())
    code, out, err = asyncrl("ls", "--where", "status=finished and algo=a3c and seed>=0", "--results", root, "--json")
    assert GOOD in [run["id"] for run in json.loads(out)]
    code, out, err = asyncrl("export", "--results", root, "--out", root / "export", "--format", "csv")
    assert code == 0, err
    assert list(pd.read_csv(root / "export" / "evaluations.csv").groupby("run").size()[[GOOD]]) == [2]
    assert asyncrl("export", "--results", root, "--out", root / "export")[0] == 0
    if has_report:
        code, out, err = asyncrl("report", "--results", root, "--out", root / "page")
        assert code == 0, err
        assert GOOD in (root / "page" / "report.md").read_text()


def check_commands_on_run(asyncrl, root, name):
    """Run the commands that read one run, the one that continues it last."""
    for arguments in (
        ("show", name),
        ("show", name, "--json"),
        ("export", GOOD, name, "--out", root / "pair"),
        ("eval", name, "--episodes", 1),
        ("record", name, "--out", root / "video.gif", "--max-seconds", 1),
        ("resume", name, "--frames", 400),
    ):
        code, _, err = asyncrl(*arguments, "--results", root)
        assert_reported(code, err)
    assert asyncrl("show", GOOD, "--results", root)[0] == 0


def check_together(asyncrl, store, root, damages, has_report=True):
    """Check a store with all damaged runs; if that fails, find the damages that make it fail."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    store(root, GOOD, 0)
    for i, damage in enumerate(damages, 1):
        damage.apply(store(root, f"run{i}", i))
    try:
        check_commands_on_store(asyncrl, root, has_report)
    except (Exception, Hang) as error:
        if len(damages) == 1:
            return [f"{damages[0].name}: {error!r:.300}"]
        halves = damages[: len(damages) // 2], damages[len(damages) // 2 :]
        found = [text for half in halves for text in check_together(asyncrl, store, root, half, has_report)]
        return found or [f"{[damage.name for damage in damages]}: {error!r:.300}"]
    return []


def check_each(asyncrl, store, root, damages):
    """Check the commands on each damaged run; return the failures."""
    found = []
    root.mkdir()
    store(root, GOOD, 0)
    for i, damage in enumerate(damages, 1):
        run = store(root, f"run{i}")
        damage.apply(run)
        try:
            check_commands_on_run(asyncrl, root, run.name)
        except (Exception, Hang) as error:
            found.append(f"{damage.name}: {error!r:.300}")
        shutil.rmtree(run)
    return found


PARTS = 10  # of the whole table, so that processes can share it


def all_damages(template) -> list[Damage]:
    return [*field_damages(template), *file_damages()]


def test_commands_beside_a_sample_of_damages_keep_the_other_run(asyncrl, store, template, tmp_path):
    rng = random.Random(20160204)
    sample = rng.sample(all_damages(template), SAMPLE) + rng.sample(file_damages(), SAMPLE // 3)
    assert check_together(asyncrl, store, tmp_path / "together", sample, has_report=False) == []
    assert check_each(asyncrl, store, tmp_path / "each", sample[::6]) == []


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_commands_beside_every_damage_keep_the_other_run(asyncrl, store, template, tmp_path, faults, part):
    damages = all_damages(template)
    random.Random(1).shuffle(damages)
    damages = damages[part::PARTS]
    chosen = damages[: faults.times(15, len(damages))]
    failed = []
    for start in range(0, len(chosen), 50):
        failed += check_together(asyncrl, store, tmp_path / "together", chosen[start : start + 50])
    failed += check_each(asyncrl, store, tmp_path / "each", chosen)
    fault = "a damaged field or file of a run, beside a sound run"
    faults.inject(fault, len(chosen))
    faults.survive(fault, len(chosen) - len(failed))
    assert failed == []


@pytest.mark.skipif(os.geteuid() != 0, reason="other users' files are readable for root only")
def test_ls_file_without_permission_costs_its_run_alone(asyncrl, store, tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    store(root, GOOD, 0)
    for name in ("run.json", "metrics.jsonl"):
        (store(root, name.partition(".")[0], 1) / name).chmod(0)
    places = [place for place in (root, *root.parents) if str(place).startswith("/tmp/")]
    modes = [place.stat().st_mode for place in places]
    for place in places:
        place.chmod(0o777)
    os.seteuid(65534)
    try:
        code, out, _ = asyncrl("ls", "--results", root)
    finally:
        os.seteuid(0)
        for place, mode in zip(places, modes, strict=True):
            place.chmod(mode)
    assert code == 0
    assert any(line.startswith(GOOD) and "finished" in line for line in out.splitlines())
    assert out.count("Permission denied") == 2
