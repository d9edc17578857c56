"""Sweeps with a study of known trials, made without any training."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from tests.analysis.stores import straight, write

PAIRS = ([5, 8], [10, 4], [20, 2])
RATES = (1e-4, 3e-4, 1e-3, 3e-3)
DECLARATION = """
[sweep]
kind = "optuna"
n = 20
seeds = 1
[base]
env = "pong"
frames = "1M"
[vary]
"optimizer.lr" = { low = 1e-5, high = 1e-1, log = true }
"t_max, envs_per_thread" = [[5, 8], [10, 4], [20, 2]]
"""
KINDS = {
    "optimizer.lr": FloatDistribution(1e-5, 1e-1, log=True),
    "t_max envs_per_thread": CategoricalDistribution([json.dumps(pair) for pair in PAIRS]),
    "gamma": CategoricalDistribution(["[0.9]", "[0.99]"]),
}


def parameters(i):
    lr = RATES[i % len(RATES)]
    pair = PAIRS[i % len(PAIRS)]
    return {"optimizer.lr": lr, "t_max envs_per_thread": json.dumps(pair), "gamma": "[0.9]" if i % 2 else "[0.99]"}


def value(i):
    return float(i) if i < 12 else 10.5 - i / 100


def make_search(results, trials=16, name="search", names=tuple(KINDS), study_name=None):
    """Write a sweep with one run and a study; trial 11 has the highest value, and one trial is still running."""
    sweep = results / name
    write(sweep, "cell", straight(-21, 5))
    (sweep / "sweep.toml").write_text(DECLARATION)
    (sweep / "study.db").write_bytes(study_file(trials, names, study_name or name))
    return sweep


@cache
def study_file(trials, names, study_name):
    """Return the bytes of the database of a study; it takes a second to make."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with TemporaryDirectory() as folder:
        file = Path(folder, "study.db")
        fill_study(
            optuna.create_study(storage=f"sqlite:///{file}", study_name=study_name, direction="maximize"), trials, names
        )
        return file.read_bytes()


def fill_study(study, trials, names):
    kinds = {each: KINDS[each] for each in names}
    for i in range(trials):
        chosen = {each: parameters(i)[each] for each in names}
        study.add_trial(create_trial(params=chosen, distributions=kinds, value=value(i)))
    if trials:
        study.add_trial(create_trial(state=TrialState.FAIL))
        study.set_user_attr("pruned-3", True)


def confirm(results, name="search"):
    """Write the runs of the best settings on fresh seeds, the last of which has not finished."""
    best = {"lr": RATES[11 % 4], "t_max": PAIRS[11 % 3][0], "envs_per_thread": PAIRS[11 % 3][1], "gamma": 0.9}
    place = results / f"{name}-confirm"
    for seed, high, status in ((2, 4.0, "finished"), (3, 8.0, "finished"), (4, 99.0, "interrupted")):
        write(place, f"best-{seed}", straight(-21, high), seed=seed, status=status, **best)
    write(place, "preset-2", straight(-21, -20), seed=2)
    (place / "sweep.toml").write_text("")
