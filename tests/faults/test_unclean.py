"""Rewards that are not finite, errors with unclean texts and paths that are not UTF-8, through every command."""

import json
import os
import subprocess
import sys

import pytest

from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from tests.faults.launch import arguments
from tests.unclean_envs import ERRORS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600), pytest.mark.usefixtures("nothing_left")]
REWARDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity", "1e308": 1e308}


def call(*words, **variables):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables}
    command = words if words[0] == sys.executable else (sys.executable, "-m", "asyncrl", *words)
    return subprocess.run(command, capture_output=True, check=False, env=environment, timeout=120)


def train(results, env, frames, *settings, **variables):
    named = {"threads": 1, "frames": frames, "env": f"tests.unclean_envs:{env}"}
    return call(*arguments(results, "mine", "evaluation.episodes=2", *settings, **named), **variables)


def strict(data):
    return json.loads(data.decode("utf-8"), parse_constant=pytest.fail)


@pytest.mark.parametrize("reward", REWARDS)
def test_rewards_that_are_not_finite_survive_every_command(faults, tmp_path, reward):
    if not faults.times(reward == "nan", True):
        pytest.skip("at full length only")
    fault, stored = "rewards and scores of NaN, ±inf and 1e308", REWARDS[reward]
    faults.inject(fault)
    results, run = str(tmp_path / "runs"), tmp_path / "runs" / "mine"
    assert train(results, "Rewarding", 3_000, REWARD=reward).returncode == 0
    out = f"--out={tmp_path / 'out'}"
    for words in (
        ("eval", str(run), "--episodes=2"),
        ("show", str(run)),
        ("ls", f"--results={results}"),
        ("report", f"--results={results}", out),
        ("export", f"--results={results}", out),
        ("export", f"--results={results}", out, "--format=csv"),
        ("record", str(run), f"--out={tmp_path / 'film.gif'}", "--max-seconds=2"),
        ("resume", str(run), "--frames=5000"),
    ):
        done = call(*words, REWARD=reward)
        assert done.returncode == 0, (words, done.stderr)
        assert b"Traceback" not in done.stdout + done.stderr
    assert strict(call("eval", str(run), "--episodes=2", "--json", REWARD=reward).stdout)["scores"] == [stored] * 2
    assert strict(call("show", str(run), "--json").stdout)["evaluations"][0]["mean"] == stored
    for file in run.glob("*.jsonl"):
        assert [strict(line) for line in file.read_bytes().splitlines()]
    assert f"{float(reward):g}" in (tmp_path / "out" / "episodes.csv").read_text()
    assert "excluded from all scores" in (tmp_path / "out" / "report.html").read_text()
    assert (run / "checkpoints" / "best.json").exists() == (reward == "1e308")
    faults.survive(fault)


@pytest.mark.parametrize("error", ERRORS)
def test_errors_with_unclean_texts_leave_a_small_readable_run(faults, tmp_path, error):
    if not faults.times(error in ("surrogate", "huge"), True):
        pytest.skip("at full length only")
    fault, run = "errors with unclean or huge texts", tmp_path / "mine"
    faults.inject(fault)
    done = train(tmp_path, "Failing", 100_000, "workers.restarts=2", ERROR=error)
    assert done.returncode == 4
    assert b"Traceback" not in done.stderr
    assert len(done.stderr) < 10_000
    assert read_document(run)["status"] == "failed"
    assert len(read_rows(run, "failures")) == 3
    for file in ("failures.jsonl", "run.json"):
        assert len((run / file).read_bytes().decode("utf-8")) < 25_000
    assert call("show", str(run)).returncode == 0
    assert call("report", f"--results={tmp_path}").returncode == 0
    assert call("export", f"--results={tmp_path}", f"--out={tmp_path / 'out'}").returncode == 0
    faults.survive(fault)


def test_paths_that_are_not_utf_8_survive_every_command(faults, tmp_path):
    fault, results = "paths that are not UTF-8", os.fsdecode(os.fsencode(tmp_path) + b"/r\xe9s")
    faults.inject(fault)
    assert train(results, "Rewarding", 2_000, REWARD="1").returncode == 0
    os.rename(f"{results}/mine", f"{results}/n\udce9")
    for words in (
        ("show", f"{results}/n\udce9"),
        ("ls",),
        ("report",),
        ("export", f"--out={results}/out"),
        ("export", f"--out={results}/out", "--format=csv"),
    ):
        done = call(*words, *([] if words[0] == "show" else [f"--results={results}"]))
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), (words, done.stderr)
    faults.survive(fault)
