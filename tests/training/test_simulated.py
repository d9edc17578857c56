"""Runs in simulated time: what they store, where they evaluate, and which costs they take."""

import json
import os
import shutil

import gymnasium
import pytest
import torch

from asyncrl import experiment
from asyncrl.config import with_barriers, with_periods
from asyncrl.costs import Costs, build, default_costs, read_costs, to_toml
from asyncrl.errors import InputError
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store.document import read_document
from asyncrl.store.rows import Writer, read_rows
from asyncrl.training import job_builder, preflight, reopening
from asyncrl.training.metrics import size_column
from asyncrl.training.simulated import measured_costs
from tests.runtime.setups import resolve

TABLE = {"env": "CartPole-v1", "network": "mlp", "algo": "a3c", "clock": "simulated", "threads": 3, "frames": 600}
TABLE |= {"evaluation": {"every": 250, "episodes": 1}, "checkpoints": {"every": 100, "keep": 20}, "log_seconds": 0.1}
ENTRY = {"env": "CartPole-v1", "network": "mlp", "algo": "a3c", "envs_per_thread": 1}
PHASES = {"pull": 1.0, "act": {"base": 2.0, "each": 3}, "environment": 4.0, "learn": 5.0, "apply": 6.0}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a finished run of three simulated workers."""
    return experiment.train(resolve(**TABLE), tmp_path_factory.mktemp("results"), "one")


def test_simulated_run_stores_its_clock_and_costs(trained):
    document = read_document(trained)
    assert (document["clock"], document["turns"], document["status"]) == ("simulated", False, "finished")
    assert build(document["costs"], "run.json") == default_costs("mlp", "other")
    assert "exact_until" not in document


def test_simulated_rows_have_virtual_seconds(trained):
    """Three workers make a step in about 20 µs."""
    for name in ("episodes", "metrics", "evaluations"):
        rows = read_rows(trained, name)
        assert rows
        assert all(10e-6 < row["seconds"] / row["steps"] < 100e-6 for row in rows if row["steps"] > 100), name
    seconds = [row["seconds"] for row in read_rows(trained, "episodes")]
    assert seconds == sorted(seconds)
    rate = read_document(trained)["frames"] / read_document(trained)["seconds"]
    assert read_rows(trained, "metrics")[-1]["frames_per_second"] == pytest.approx(rate, rel=1)


def test_simulated_evaluations_are_made_at_barriers(trained):
    steps = {int(path.name) for path in (trained / "checkpoints").iterdir() if path.is_dir()}
    evaluated = [row["steps"] for row in read_rows(trained, "evaluations")]
    assert len(evaluated) == 3
    assert set(evaluated) <= steps
    assert checkpoints.best(trained)
    exact = [checkpoints.load(trained, str(step)).meta["is_exact"] for step in sorted(steps)]
    assert exact == [True] * (len(exact) - 1) + [False]  # the end of the budget is no barrier


def test_simulated_lags_are_counted_in_bins(trained):
    rows = read_rows(trained, "metrics")
    lags = {name: sum(row.get(name, 0) for row in rows) for row in rows for name in row if name.startswith("lag_")}
    assert set(lags) <= {"lag_0", "lag_1", "lag_2", "lag_4", "lag_8"}
    assert sum(lags.values()) == rows[-1]["updates"]
    assert lags["lag_2"] > lags["lag_0"]  # two other workers


def test_size_column_names_the_smallest_lag():
    assert [size_column("lag", lag.bit_length()) for lag in (0, 1, 2, 3, 4, 7, 8, 100)] == [
        "lag_0", "lag_1", "lag_2", "lag_2", "lag_4", "lag_4", "lag_8", "lag_64"
    ]  # fmt: skip


def test_simulated_checkpoints_are_part_of_what_a_run_is(trained):
    before, now = (resolve(**TABLE | {"checkpoints": {"every": every}}) for every in (100, 200))
    with pytest.raises(InputError, match=r"checkpoints.every \(it was 100, now 200\)"):
        reopening.refuse_changes(trained, before, now)
    real = [resolve(**TABLE | {"clock": "wall", "checkpoints": {"every": every}}) for every in (100, 200)]
    reopening.refuse_changes(trained, *real)
    assert read_document(trained)["config"]["checkpoints"]["every"] == 100


def test_simulated_run_with_damaged_costs_is_refused(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "one")
    document = read_document(run)
    for damage in ({}, {"pull": "much"}, None):
        (run / "run.json").write_text(json.dumps(document | {"costs": damage}))
        with pytest.raises(InputError, match=r"costs in .*run\.json is no table of costs"):
            experiment.resume(run, frames=1_000)


def test_simulated_barriers_are_a_fiftieth_of_the_budget_and_stay():
    settings = with_barriers(resolve(**TABLE | {"frames": 10_000, "checkpoints": {}}))
    assert settings.checkpoints.every == 200
    assert with_barriers(settings.model_copy(update={"frames": 20_000})).checkpoints.every == 200
    assert with_barriers(resolve(frames=10_000)).checkpoints.every is None
    assert with_periods(resolve(frames=10_000)).checkpoints.every == 1_000


def test_simulated_evaluations_more_often_than_barriers_are_a_warning():
    with pytest.warns(UserWarning, match="evaluations are made at checkpoints, here every 100 frames"):
        preflight.warn_of_barriers(resolve(**TABLE | {"evaluation": {"every": 50}}))


def write(path, *entries):
    lines = [line for entry in entries for line in ("[[costs]]", *(f"{k} = {_toml(v)}" for k, v in entry.items()))]
    path.write_text("\n".join(lines))
    return path


def _toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inner}" for key, inner in value.items()) + "}"
    return json.dumps(value)


def test_costs_of_a_file_are_those_of_the_run(tmp_path):
    other = ENTRY | {"algo": "n-step-q"} | PHASES | {"pull": 9.0}
    file = write(tmp_path / "costs.toml", other, ENTRY | PHASES)
    costs = read_costs(file, resolve(**TABLE))
    assert costs == Costs(**PHASES)
    assert costs.act.of(10) == 32
    assert costs.pull.of(10) == 1
    (tmp_path / "again.toml").write_text(to_toml(costs, resolve(**TABLE)))
    assert read_costs(tmp_path / "again.toml", resolve(**TABLE)) == costs


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (ENTRY | PHASES | {"algo": "a2c"}, "has no costs for env CartPole-v1, network mlp, algo a3c"),
        (ENTRY | {"pull": 1.0}, "act field required"),
        (ENTRY | PHASES | {"apply": -1}, "apply.base should be greater than or equal to 0; got -1"),
        (ENTRY | PHASES | {"lern": 1}, "lern"),
        (ENTRY | PHASES | {"environment": 0}, "a step of an environment must take time"),
        (ENTRY | PHASES | {"act": "x\x1b[2J" * 100}, "act"),
    ],
)
def test_wrong_file_of_costs_is_one_line(command_line, tmp_path, entry, said):
    file = write(tmp_path / "costs.toml", entry)
    words = ["--clock", "simulated", "--env", "CartPole-v1", "--results", str(tmp_path / "results")]
    code, _, err = command_line("run", *words, "--set", f"simulated.costs={file}")
    assert code == 2
    assert said in " ".join(err.split())
    assert "\x1b" not in err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("simulated.costs=nowhere.toml", "Cannot read nowhere.toml"),
        ("simulated.jitter=-1", "simulated.jitter should be greater than or equal to 0"),
        ("simulated.speeds=[]", "simulated.speeds"),
        ("simulated.policy=fair", "it can be turns or phases"),
        ("clock=sun", "it can be wall or simulated"),
        ("simulated.delay=100000", "simulated.delay should be less than or equal to 1000"),
        ("workers.turns=sometimes", "it can be auto, on or off"),
    ],
)
def test_wrong_setting_of_simulated_time_is_one_line(command_line, tmp_path, setting, said):
    words = ["--env", "CartPole-v1", "--results", str(tmp_path / "results"), "--set", "clock=simulated"]
    code, _, err = command_line("run", *words, "--set", setting)
    assert code == 2
    assert said in " ".join(err.split())
    assert not (tmp_path / "results").exists()


def test_measured_costs_add_up_to_the_profile(tmp_path):
    config = resolve(**TABLE | {"clock": "wall", "envs_per_thread": 4})
    phases = {"pull": 2, "act": 30, "environment": 10, "learn": 20, "apply": 3, "events": 1}
    warm_up = {f"{name}_us": 1e6 for name in phases}
    row = {f"{name}_us": value for name, value in phases.items()}
    with Writer(tmp_path) as writer:
        for steps, each in ((40, warm_up), (400, row), (840, row)):
            writer.append("metrics", {"frames": steps, "steps": steps, "updates": steps // 20, "seconds": 1.0} | each)
    costs = measured_costs(tmp_path, config)
    assert costs.act.of(4) == pytest.approx(30 * 4, rel=1e-3)  # µs per step; a call steps four environments
    assert costs.environment.of(4) == pytest.approx(10 * 4, rel=1e-3)
    assert costs.pull.base == pytest.approx(2 * 20)
    assert costs.learn.of(20) == pytest.approx(20 * 20, rel=1e-3)
    assert costs.apply.base == pytest.approx((3 + 1) * 20)
    default = default_costs("mlp", "other").learn
    assert costs.learn.base / costs.learn.each == pytest.approx(default.base / default.each, rel=0.01)


def test_settings_of_simulated_time_reach_the_workers():
    costs = default_costs("mlp", "other")
    simulated = {"cores": 2, "policy": "phases", "delay": 3, "delays": "drawn", "speeds": [1, 0.5], "jitter": 0}
    found = job_builder.make_simulation(resolve(**TABLE, simulated=simulated), costs)
    assert (found.cores, found.has_turns, found.delay, found.is_delay_drawn) == (2, False, 3, True)
    assert (found.speeds, found.jitter, found.batch_cores) == ((1.0, 0.5), 0.0, 1)
    batch = job_builder.make_simulation(resolve(**TABLE | {"algo": "a2c", "threads": 8}), costs)
    assert (batch.cores, batch.batch_cores, batch.efficiency) == (None, 8, 0.8)
    job = job_builder.make_job(resolve(**TABLE | {"algo": "a2c", "threads": 8}), *_spec(), (0.0,) * 8, 0, costs)
    assert job.torch_threads == 1


def _spec():
    return (job_builder.resolve(TABLE)[1],)


@pytest.mark.parametrize(
    ("turns", "envs", "expected"), [("auto", 1, True), ("auto", 2, False), ("on", 2, True), ("off", 1, False)]
)
def test_turns_are_a_setting(turns, envs, expected):
    config = resolve(env="tests.toys:Corridor", threads=512, envs_per_thread=envs, workers={"turns": turns})
    assert job_builder.takes_turns(config) is expected


class Forgetful(gymnasium.Wrapper):
    """CartPole that another process plays differently: its observations depend on the process."""

    def __init__(self):
        super().__init__(gymnasium.make("CartPole-v1"))

    def reset(self, **options):
        observation, info = self.env.reset(**options)
        return observation + os.getpid() % 1000 * 1e-4, info


def test_simulated_run_whose_environments_cannot_be_restored_notes_where_it_stops_to_repeat(tmp_path):
    env = f"{__name__}:Forgetful"
    config = resolve(**TABLE | {"env": env, "evaluation": {"episodes": 0}})
    run = experiment.train(config, tmp_path, "one")
    for later in (path for path in (run / "checkpoints").iterdir() if path.name.isdigit() and int(path.name) > 300):
        shutil.rmtree(later)
    step = checkpoints.load(run).step
    experiment.resume(run)
    document = read_document(run)
    assert (document["status"], document["exact_until"]) == ("finished", step)
    assert "start anew" in read_rows(run, "failures")[0]["reason"]


OWN_NETWORK = """
from torch import nn

class Net(nn.Linear):
    features = 3

    def __init__(self, obs_shape):
        super().__init__(obs_shape[0], 3)
"""


def test_default_costs_of_an_own_network_are_refused_in_one_line(command_line, tmp_path, monkeypatch):
    (tmp_path / "own_net_of_costs.py").write_text(OWN_NETWORK)
    monkeypatch.chdir(tmp_path)
    words = ["--env", "CartPole-v1", "--results", str(tmp_path / "results"), "--set", "clock=simulated"]
    code, _, err = command_line("run", *words, "--network", "own_net_of_costs:Net")
    assert code == 2
    assert "There are no default costs for network 'own_net_of_costs:Net'" in " ".join(err.split())
    assert not (tmp_path / "results").exists()


def test_measured_costs_of_an_own_network_are_split_in_a_plain_way(tmp_path):
    config = resolve(**TABLE | {"clock": "wall"}).model_copy(update={"network": "mine:Net"})
    row = {f"{name}_us": 2.0 for name in ("pull", "act", "environment", "learn", "apply", "events")}
    with Writer(tmp_path) as writer:
        for steps in (40, 400, 840):
            writer.append("metrics", {"frames": steps, "steps": steps, "updates": steps // 20, "seconds": 1.0} | row)
    costs = measured_costs(tmp_path, config)
    assert costs.learn.base == 0
    assert costs.learn.of(20) == pytest.approx(2 * 20)
    assert costs.act.each == 0


def test_simulated_run_that_was_killed_in_an_evaluation_repeats_it(trained, tmp_path):
    run = tmp_path / "one"
    shutil.copytree(trained, run)
    whole = [row["steps"] for row in read_rows(trained, "evaluations")]
    for path in (run / "checkpoints").iterdir():
        if path.name.isdigit() and int(path.name) > whole[0]:
            shutil.rmtree(path)
    (run / "evaluations.jsonl").unlink()
    experiment.resume(run)
    assert [row["steps"] for row in read_rows(run, "evaluations")] == whole
    one, other = (checkpoints.load(path).tensors["theta"] for path in (trained, run))
    assert torch.equal(one, other)
