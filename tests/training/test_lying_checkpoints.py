"""Checkpoints whose digests are correct and whose contents do not fit the run."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from asyncrl import experiment
from asyncrl.errors import Exit, InputError
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store.checkpoint import CheckpointError
from asyncrl.training import checkpointing, opening
from tests.runtime.setups import describe, resolve
from tests.store.forgery import forge, newest, steps_of

CONFIG = {"algo": "one-step-sarsa", "env": "CartPole-v1", "network": "mlp-lstm", "threads": 2, "envs_per_thread": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a run of two workers with two environments each, and its settings."""
    config = resolve(**CONFIG, frames=900, checkpoints={"every": 300})
    return experiment.train(config, tmp_path_factory.mktemp("results")), config


@pytest.fixture
def run(trained, tmp_path):
    """Return a copy of the run with at least two checkpoints."""
    run = shutil.copytree(trained[0], tmp_path / "mine")
    assert len(steps_of(run)) >= 2
    return run


def load(run, config, which="last"):
    return checkpoints.load(run, which, checkpointing.fits(config, describe(config)))


def tensor(name, change):
    def apply(tensors, workers, manifest):
        tensors[name] = change(tensors[name])

    return apply


def without(name):
    return lambda tensors, workers, manifest: tensors.pop(name)


def state(change, worker=1):
    return lambda tensors, workers, manifest: change(workers[worker])


def record(**changes):
    return state(lambda worker: worker["record"].update(changes))


def counts(**changes):
    return lambda tensors, workers, manifest: manifest["meta"]["counts"].update(changes)


def entry(**changes):
    return lambda tensors, workers, manifest: manifest.update(changes)


def moved_steps(by):
    """Change the steps of both workers so that their sum stays."""

    def apply(tensors, workers, manifest):
        tensors["counters"][:, 0] += torch.tensor([by, -by])

    return apply


def everywhere(step):
    """Change the step in all places but the directory's name."""

    def apply(tensors, workers, manifest):
        tensors["counters"][:, 0] = torch.tensor([step, 0])
        manifest["step"] = manifest["meta"]["counts"]["steps"] = step
        for worker, own in zip(workers, (step, 0), strict=True):
            worker["steps"] = own

    return apply


def with_nan(vector):
    vector[0] = float("nan")
    return vector


LIES = {
    "theta shorter": (tensor("theta", lambda t: t[:-1]), "theta is float32"),
    "theta of float64": (tensor("theta", torch.Tensor.double), r"theta is float64 \[\d+\], but this run has float32"),
    "theta of bfloat16": (tensor("theta", torch.Tensor.bfloat16), "theta is bfloat16"),
    "theta in two dimensions": (tensor("theta", lambda t: t[None]), "theta is float32"),
    "theta has NaN": (tensor("theta", with_nan), "theta has numbers that are not finite"),
    "target has infinity": (tensor("target", lambda t: t / 0), "target has numbers that are not finite"),
    "target empty": (tensor("target", lambda t: t[:0]), "target is float32"),
    "optimizer_state of two workers": (tensor("optimizer_state", lambda t: t.repeat(2, 1, 1)), "optimizer_state is"),
    "theta missing": (without("theta"), "theta is missing"),
    "counters missing": (without("counters"), "counters is missing"),
    "additional average": (lambda t, w, m: t.update(average=t["theta"].clone()), "tensor 'average'"),
    "additional with ESC": (lambda t, w, m: t.update({"\x1b[31m" * 99: torch.ones(1)}), r"tensor '\\x1b\[31m"),
    "additional worker": (lambda t, w, m: t.update({"worker.7.current": torch.ones(1)}), "'worker.7.current'"),
    "counters negative": (moved_steps(10**6), "counters has numbers that no worker can count"),
    "updates negative": (tensor("counters", lambda t: t - torch.tensor([0, 9**9] + [0] * 6)), "no worker can count"),
    "counters beyond": (moved_steps(2**62), "no worker can count"),
    "counters of float32": (tensor("counters", torch.Tensor.float), "counters is float32"),
    "counters of other workers": (tensor("counters", lambda t: t[:1]), "counters is int64"),
    "counters of another sum": (tensor("counters", lambda t: t + 1), "the sum of its counters is"),
    "step of another": (everywhere(30), "another step than its name, 30"),
    "step negative": (everywhere(-40_000), "another step than its name, -40000"),
    "step of 2**63": (entry(step=2**63), "another step than its name"),
    "step a text": (entry(step="300"), "another step than its name, '300'"),
    "step true": (entry(step=True), "another step than its name, True"),
    "counts of another step": (counts(steps=7), "the number of its counts is 7"),
    "counts negative": (counts(frames=-40_000), "frames: Input should be greater than or equal to 0"),
    "seconds NaN": (counts(seconds=float("nan")), "manifest.json has changed"),
    "counts missing": (lambda t, w, m: m["meta"].pop("counts"), "counts: Input should be"),
    "health a text": (
        lambda t, w, m: m["meta"].update(health={"skipped": "2"}),
        "skipped: Input should be a valid int",
    ),
    "meta a list": (entry(meta=[1]), "meta is not a table"),
    "settings missing": (lambda t, w, m: m["meta"].pop("config"), "its settings cannot be read"),
    "format a text": (entry(format="1"), "no valid entries"),
    "format 0": (entry(format=0), "no valid entries"),
    "one worker": (lambda t, w, m: w.pop(), "worker"),
    "three workers": (lambda t, w, m: w.append({}), "states of 3 workers, but this run has 2"),
    "a worker is a number": (lambda t, w, m: w.__setitem__(0, 3), "not a list of tables"),
    "steps of a worker": (state(lambda worker: worker.update(steps=5)), "worker 1, there are 5 steps"),
    "steps a text": (state(lambda worker: worker.update(steps="5")), "worker 1, steps: Input should be a valid int"),
    "generator too short": (state(lambda worker: worker.update(torch_rng="00ff")), "torch_rng is no state"),
    "generator empty": (state(lambda worker: worker.update(torch_rng="")), "torch_rng is no state"),
    "generator no hex": (state(lambda worker: worker.update(global_torch_rng="xyz")), "global_torch_rng is no state"),
    "generator a number": (state(lambda worker: worker.update(torch_rng=5)), "torch_rng: Input should be a valid str"),
    "generator missing": (state(lambda worker: worker.pop("torch_rng")), "torch_rng: Field required"),
    "key negative": (state(lambda worker: worker.update(key=[0, -1])), "key.1: Input should be greater"),
    "key a number": (state(lambda worker: worker.update(key=3)), "key: Input should be a valid list"),
    "seeds of other environments": (record(seeds=[1]), "seeds has 1 numbers, but there are 2 environments"),
    "seeds negative": (record(seeds=[1, -2]), "record.seeds.1"),
    "starts beyond": (record(starts=[0, 10**6]), "starts has rows beyond the last action"),
    "record a list": (state(lambda worker: worker.update(record=[])), "record: Input should be"),
    "record missing": (state(lambda worker: worker.pop("record")), "that this run does not have"),
    "state missing": (state(dict.clear), "that this run does not have"),
    "actions of other environments": (tensor("worker.0.actions", lambda t: t[:, :1]), "worker 0, actions is uint8"),
    "actions of int64": (tensor("worker.0.actions", torch.Tensor.long), "worker 0, actions is int64"),
    "actions out of range": (tensor("worker.0.actions", lambda t: t + 2), "actions that this run's environment"),
    "actions missing": (without("worker.0.actions"), "worker 0, actions is missing"),
    "carry of another size": (tensor("worker.0.carry.0", lambda t: t[:, :3]), "carry.0 is float32"),
    "carry has NaN": (tensor("worker.0.carry.1", lambda t: t * float("nan")), "carry.1 has numbers that are not"),
    "carry missing": (without("worker.1.carry.1"), "worker 1, carry.1 is missing"),
    "planned action out of range": (tensor("worker.0.planned.action", lambda t: t - 9), "planned.action has actions"),
    "observation of another shape": (tensor("worker.0.current", lambda t: t[:, :2]), "current is float32"),
}


@pytest.mark.parametrize("lie", LIES)
def test_load_with_a_newest_checkpoint_that_lies_returns_the_one_before(run, trained, lie):
    change, message = LIES[lie]
    forge(newest(run), change)
    with pytest.warns(UserWarning, match=message) as caught:
        assert load(run, trained[1]).step == steps_of(run)[1]
    (warning,) = caught
    assert "\n" not in str(warning.message)
    assert len(str(warning.message)) < 600
    with pytest.raises(CheckpointError, match=message) as refused:
        load(run, trained[1], str(steps_of(run)[0]))
    assert refused.value.code == Exit.NO_CHECKPOINT


def test_load_with_honest_changes_returns_the_newest(run, trained):
    def change(tensors, workers, manifest):
        tensors["theta"] += 1
        workers[0] = {}
        for name in [name for name in tensors if name.startswith("worker.0.")]:
            del tensors[name]
        workers[1].update(of_a_newer_version=1, key=[3, 1, 2])

    forge(newest(run), change)
    assert load(run, trained[1]).step == steps_of(run)[0]


def test_resume_after_a_change_of_settings_names_it_and_not_the_checkpoint(run):
    document = json.loads((run / "run.json").read_text())
    document["config"]["threads"] = 3
    (run / "run.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"trained with other settings .* threads \(it was 2, now 3\)") as caught:
        experiment.resume(run, frames=2_000)
    assert caught.value.code == Exit.BAD_INPUT


@pytest.mark.parametrize("place", ["checkpoints", "step", "state.safetensors", "manifest.json"])
def test_load_through_a_link_is_refused_and_names_it(run, trained, tmp_path, place):
    path = {"checkpoints": run / "checkpoints", "step": newest(run)}.get(place, newest(run) / place)
    earlier = steps_of(run)[1]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    if place == "checkpoints":
        with pytest.raises(CheckpointError, match="checkpoints is not a directory, but a link") as caught:
            load(run, trained[1])
        assert caught.value.code == Exit.NO_CHECKPOINT
        return
    with pytest.warns(UserWarning, match="it is a link"):
        assert load(run, trained[1]).step == earlier


@pytest.fixture
def session(monkeypatch):
    """Return the arguments of the sessions that would be made; none runs."""
    made = []

    def make(*arguments):
        made.append(arguments)
        return SimpleNamespace(run=lambda *own: arguments[0])

    monkeypatch.setattr(opening, "Session", make)
    return made


def change_document(run, change):
    document = json.loads((run / "run.json").read_text())
    change(document)
    (run / "run.json").write_text(json.dumps(document))


@pytest.mark.parametrize("exploration", [[0.1], [0.1] * 5, "0.1", None, [], {"0": 0.1}, ["a", "b", "c", "d"]])
def test_resume_without_a_final_epsilon_for_each_environment_is_refused(run, session, exploration):
    change_document(run, lambda document: document.update(exploration=exploration))
    files = {path: path.read_bytes() for path in run.rglob("*.json*")}
    with pytest.raises(InputError, match=r"is damaged: exploration"):
        experiment.resume(run, frames=2_000)
    assert not session
    assert {path: path.read_bytes() for path in run.rglob("*.json*")} == files


@pytest.mark.parametrize("field", ["sessions", "protocol", "frames_per_step", "id"])
def test_resume_without_a_field_of_run_json_uses_what_the_settings_say(run, session, field):
    was = json.loads((run / "run.json").read_text())
    change_document(run, lambda document: document.update({field: None}))
    experiment.resume(run, frames=2_000)
    (arguments,) = session
    assert arguments[5][field] == (was | {"sessions": 1, "id": run.name})[field]


@pytest.mark.parametrize("field", ["sessions", "protocol", "frames_per_step", "id"])
def test_resume_with_a_field_of_the_wrong_type_names_it(run, session, field):
    change_document(run, lambda document: document.update({field: []}))
    with pytest.raises(InputError, match=f"run.json is damaged: {field}"):
        experiment.resume(run, frames=2_000)
    assert not session
