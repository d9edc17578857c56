"""What a person can do with a run: train it, go on with it, evaluate it, watch it play."""

import shutil
import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from asyncrl import experiment
from asyncrl.config import build
from asyncrl.errors import Exit, InputError
from asyncrl.events import Evaluated
from asyncrl.learners.exploration import EpsilonGreedy
from asyncrl.runtime.parameters import STEPS
from asyncrl.store.checkpoint import CheckpointError, load, save
from asyncrl.store.document import PROGRESS_COLUMNS, read_document
from asyncrl.store.rows import Writer, read_rows
from asyncrl.system import machine
from asyncrl.training import job_builder, opening
from tests.runtime.setups import describe, resolve

ONE = {"env": "CartPole-v1", "threads": 1, "frames": 600, "algo": "one-step-q", "network": "mlp-lstm"}
ONE |= {"target_frames": 100, "exploration": {"anneal_frames": 500}, "log_seconds": 0.3}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def trained(root):
    """Return a finished run of one thread, with evaluations."""
    return experiment.train(resolve(**ONE, evaluation={"every": 300, "episodes": 2}), root, "one")


@pytest.fixture
def run(trained, tmp_path):
    """Return a copy of that run, to write to."""
    return shutil.copytree(trained, tmp_path / "one")


def test_run_json_says_what_the_run_is(trained):
    document = read_document(trained)
    assert build(document["config"]) == resolve(**ONE, evaluation={"every": 300, "episodes": 2})
    assert (document["id"], document["protocol"], document["frames_per_step"]) == ("one", "gymnasium", 1)
    assert document["parameters"] == len(load(trained).tensors["theta"])
    assert len(document["exploration"]) == 1
    assert (document["status"], document["sessions"]) == ("finished", 0)
    assert document["started"] == document["provenance"]["started"]


def same(one, other):
    """Say whether two runs ended with the same bits, and played the same games."""
    tensors, others = load(one).tensors, load(other).tensors
    equal = all(torch.equal(tensors[name], others[name]) for name in ("theta", "target", "optimizer_state"))
    return equal and games(one) == games(other) and load(one).workers == load(other).workers


def games(run):
    return [{**row, "seconds": None} for row in read_rows(run, "episodes")]


def test_one_thread_repeats_bit_for_bit_and_another_seed_does_not(root, trained):
    """Without evaluations this time: they change nothing."""
    assert len(games(trained)) > 10
    assert same(trained, experiment.train(resolve(**ONE), root, "again"))
    assert not same(trained, experiment.train(resolve(**ONE, seed=2), root, "other"))


@pytest.mark.parametrize(("threads", "envs"), [(2, 3), pytest.param(16, 1, marks=pytest.mark.faults)])
def test_any_number_of_threads_meets_the_budget_and_leaves_nothing(nothing_left, tmp_path, threads, envs):
    config = resolve(env="CartPole-v1", threads=threads, envs_per_thread=envs, frames=2_000)
    run = experiment.train(config, tmp_path)
    T = load(run).step
    assert 2_000 <= T < 2_000 + threads * config.t_max * envs
    assert int(load(run).tensors["counters"][:, STEPS].sum()) == T == read_document(run)["steps"]


def test_nothing_is_written_where_nothing_can_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Cannot write results"):
        experiment.train(resolve(frames=10), tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"env": "tests.toys:Unsupported"}, "Dict"),
        ({"env": "CartPole-v7"}, "CartPole"),
        ({"env": "Pendulum-v1", "algo": "n-step-q"}, "continuous actions"),
        ({"env": "CartPole-v1", "network": "nips"}, "use mlp"),
        ({"env": "CartPole-v1", "network": "nipps"}, "nips"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_starts(table, said):
    with pytest.raises(InputError, match=said):
        job_builder.resolve(table)


def configured(table):
    """Return the configuration without the spaces."""
    return job_builder.resolve(table)[0]


def test_a_setting_beats_the_preset_and_the_preset_the_default():
    config = configured({"env": "CartPole-v1", "exploration": {"anneal_frames": "1k"}})
    assert config.frames == 300_000
    assert config.exploration.anneal_frames == 1_000
    assert config.exploration.final == build({}).exploration.final
    assert config.network == "mlp"
    assert configured({"env": "Pendulum-v1", "gamma": 0.5}).gamma == 0.5
    assert configured({"env": "Pendulum-v1"}).gamma == 0.9


def test_resolve_a_setting_beats_preset_fast_and_that_beats_paper():
    fast = configured({"preset": "fast", "algo": "n-step-q", "optimizer": {"clip": 7}})
    assert (fast.preset, fast.network, fast.envs_per_thread) == ("fast", "nature", 4)
    assert (fast.optimizer.clip, fast.optimizer.eps, fast.optimizer.alpha) == (7, 1e-5, 0.99)
    assert configured({"algo": "n-step-q"}).optimizer.eps == 0.1
    assert configured({"preset": "fast", "env": "CartPole-v1"}).optimizer.eps == 0.1


AVERAGED = ONE | {"network": "mlp", "averaging": 50, "frames": 1_200}


@pytest.mark.parametrize("algo", ["n-step-q", "a3c", "one-step-q"])
def test_averaging_leaves_training_as_it_is(tmp_path, algo):
    runs = [experiment.train(resolve(**AVERAGED | {"algo": algo, "averaging": n}), tmp_path) for n in (0, 50)]
    assert same(*runs)
    plain, averaged = (load(run) for run in runs)
    assert "average" not in plain.tensors
    assert plain.evaluation_weights is plain.tensors["theta"]
    assert averaged.evaluation_weights is averaged.tensors["average"]
    distance = (averaged.evaluation_weights - averaged.tensors["theta"]).norm()
    assert 0 < distance < (averaged.tensors["theta"]).norm()


def test_resume_goes_on_with_the_average_bit_for_bit(tmp_path):
    """A stop at 600 of 1,200 frames, with a schedule that does not depend on the budget."""
    fixed = AVERAGED | {"optimizer": {"anneal_frames": 1_000}}
    whole = experiment.train(resolve(**fixed), tmp_path)
    half = experiment.train(resolve(**fixed | {"frames": 600}), tmp_path)
    experiment.resume(half, frames=1_200)
    assert same(whole, half)
    assert torch.equal(load(whole).evaluation_weights, load(half).evaluation_weights)


def test_evaluate_plays_with_the_average(tmp_path, monkeypatch):
    run = experiment.train(resolve(**AVERAGED), tmp_path)
    played = []
    monkeypatch.setattr(
        experiment, "evaluate_weights", lambda exam, theta, T: played.append(theta) or Evaluated(T, (1.0,), (1,))
    )
    experiment.evaluate(run, episodes=1)
    assert torch.equal(played[0], load(run).tensors["average"])


def test_resume_with_a_larger_budget_says_that_the_rate_is_annealed_anew(run, fake_session):
    with pytest.warns(UserWarning, match=r"annealed to 0 over the new budget of 1,200 frames; it continues at 0\.0007"):
        experiment.resume(run, frames=1_200)


@pytest.mark.filterwarnings("error")
def test_resume_with_anneal_frames_keeps_the_schedule(tmp_path, fake_session):
    config = resolve(**ONE, optimizer={"anneal_frames": 1_000, "lr": 1.0})
    assert experiment.train(config, tmp_path)
    job = fake_session.last.pool.job
    assert [job.learning_rate(T) for T in (0, 500, 1_000, 2_000)] == [1.0, 0.5, 0.0, 0.0]
    assert job_builder.make_job(resolve(**ONE | {"frames": 9_000}, optimizer=config.optimizer.model_dump()),
                          describe(config), (0.1,), 0).learning_rate(500) == 0.5  # fmt: skip


class FakeSession:
    """Stands for a Session, and keeps what it is given."""

    def __init__(self, *args):
        self.path, self.config, self.pool, self.parameters, self.evaluation, self.document, *_ = args
        FakeSession.last = self

    def run(self, handle_signals=True):
        """Do nothing."""
        return self.path


@pytest.fixture
def fake_session(monkeypatch):
    monkeypatch.setattr(opening, "Session", FakeSession)
    return FakeSession


def test_a_resumed_run_goes_on_with_everything_as_it_was(run, fake_session):
    saved, before = load(run), read_document(run)
    experiment.resume(run, frames=1_000)
    resumed = fake_session.last
    for name in ("theta", "target", "optimizer_state", "counters"):
        assert torch.equal(resumed.parameters.tensors()[name], saved.tensors[name])
    assert resumed.parameters.T == saved.step
    assert resumed.parameters.updates == before["updates"] > 0
    assert [state.state for state in resumed.pool.states.values()] == saved.workers
    counts = {name: before[name] for name in PROGRESS_COLUMNS}
    assert resumed.document.items() >= counts.items()
    assert (resumed.document["sessions"], resumed.pool.job.session) == (1, 1)  # new games, not the first ones again
    assert (resumed.pool.job.budget, resumed.document["config"]["frames"]) == (1_000, 1_000)
    assert resumed.pool.job.learners[0].exploration == EpsilonGreedy(tuple(before["exploration"]), 500)


def test_counts_are_those_of_the_checkpoint_it_goes_on_from(run, fake_session):
    saved, counts = load(run), {"frames": 300, "steps": 300, "updates": 60, "seconds": 0.5}
    shutil.rmtree(run / "checkpoints")
    health = {"skipped": 7, "restarts": 3}
    saved.tensors["counters"][0, 0] = saved.workers[0]["steps"] = 300
    save(run, saved._replace(step=300, meta=saved.meta | {"counts": counts, "health": health}))
    experiment.resume(run)
    assert fake_session.last.document.items() >= (counts | health).items()
    assert fake_session.last.pool.job.budget == 600


def test_a_run_that_is_done_needs_more_frames(run):
    with pytest.raises(InputError, match=r"one has done 60\d of 600 frames; give it more with --frames"):
        experiment.resume(run)
    with pytest.raises(InputError, match="of 300 frames"):
        experiment.resume(run, frames=300)
    assert read_document(run)["status"] == "finished"


def test_a_run_goes_on_with_other_settings_only_where_they_do_no_harm(run, fake_session):
    config = read_document(run)["config"]
    changed = config | {"gamma": 0.5, "optimizer": config["optimizer"] | {"lr": 0.3}}
    with Writer(run) as writer:
        writer.update_document(config=changed)
    with pytest.raises(InputError, match=r"gamma \(it was 0.99, now 0.5\), optimizer.lr \(it was .*, now 0.3\)\. Set"):
        experiment.resume(run, frames=1_000)
    with Writer(run) as writer:
        writer.update_document(config=config | {"log_seconds": 3.0, "workers": {"restarts": 1}})
    experiment.resume(run, frames=1_000)
    assert fake_session.last.pool.job.restarts == 1


def test_a_run_without_a_checkpoint_cannot_go_on(run):
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(CheckpointError, match="one has no checkpoint yet") as refused:
        experiment.resume(run, frames=1_000)
    assert refused.value.code == Exit.NO_CHECKPOINT


def test_a_run_whose_checkpoints_are_all_damaged_is_never_begun_anew(run):
    for path in run.glob("checkpoints/*/state.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    before = read_document(run)
    for use in (lambda: experiment.resume(run, frames=1_000), lambda: experiment.evaluate(run)):
        with pytest.raises(CheckpointError, match="No checkpoint of one is intact") as refused:
            use()
        assert refused.value.code == Exit.NO_CHECKPOINT
    with pytest.raises(CheckpointError, match="has no checkpoint of step 7") as refused:
        experiment.evaluate(run, "7")
    assert refused.value.code == Exit.BAD_INPUT
    assert read_document(run) == before


def test_a_resume_that_does_not_fit_the_machine_changes_nothing(run, monkeypatch):
    with Writer(run) as writer:
        writer.append("metrics", {"steps": 10**6})  # later than the checkpoint
    before = [read_document(run), read_rows(run, "metrics")]
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(InputError, match="Disk: 0"):
        experiment.resume(run, frames=1_000)
    assert [read_document(run), read_rows(run, "metrics")] == before


def test_a_configuration_that_cannot_be_read_is_named(run):
    with Writer(run) as writer:
        writer.update_document(config={"algo": "dqn"})
    with pytest.raises(InputError, match=r"run\.json cannot be read: algo is 'dqn'"):
        experiment.resume(run)


def test_a_longer_budget_goes_on_where_the_run_ended(run):
    before = {name: read_rows(run, name) for name in ("episodes", "metrics", "evaluations")}
    start = load(run)
    assert experiment.resume(run, frames=1_200) == run
    document = read_document(run)
    assert 1_200 <= document["steps"] < 1_205
    assert (document["status"], document["sessions"]) == ("finished", 1)
    for name, rows in before.items():
        after = read_rows(run, name)
        assert after[: len(rows)] == rows
        new = after[len(rows) :]
        assert new
        assert all(row["steps"] > start.step and row["updates"] > rows[-1]["updates"] for row in new)
        seconds = [row["seconds"] for row in after]
        assert seconds == sorted(seconds)
    assert not torch.equal(load(run).tensors["theta"], start.tensors["theta"])


def test_an_evaluation_is_a_row_that_its_seed_repeats(run):
    before = read_rows(run, "evaluations")
    first, again, other = (experiment.evaluate(run, episodes=20, seed=seed) for seed in (5, 5, 6))
    assert first == again
    assert first["scores"] != other["scores"]
    assert read_rows(run, "evaluations") == [*before, first, again, other]
    assert (first["kind"], first["episodes"], len(first["scores"]), first["seed"]) == ("eval", 20, 20, 5)
    assert first["steps"] == load(run).step
    assert first["mean"] == pytest.approx(np.mean(first["scores"]))


def test_a_later_evaluation_does_not_replay_the_games_of_training(run):
    """The best checkpoint was chosen by those; judged by them again, it would look better than it is."""
    rows = read_rows(run, "evaluations")
    later = [experiment.evaluate(run, str(row["steps"]), episodes=2, seed=1) for row in rows]
    assert [row["frames"] for row in later] == [row["frames"] for row in rows]
    assert [row["scores"] for row in later] != [row["scores"] for row in rows]


def test_a_game_is_played_to_its_end_picture_by_picture(run):
    pictures = list(experiment.play(run, seed=3))
    again = list(experiment.play(run, seed=3))
    assert len(pictures) == pictures[-1][1] == again[-1][1]  # CartPole: 1 a step
    assert pictures[0][0].dtype == np.uint8
    assert pictures[0][0].ndim == 3
    assert not np.array_equal(pictures[0][0], pictures[-1][0])


def test_initial_weights_do_not_depend_on_the_number_of_threads(tmp_path, monkeypatch):
    begun = []

    def session(run, config, pool, parameters, *_):
        begun.append(parameters.tensors()["theta"])
        return SimpleNamespace(run=lambda handle_signals: run)

    monkeypatch.setattr(opening, "Session", session)
    for threads in (1, 3):
        experiment.train(configured({"env": "CartPole-v1", "algo": "n-step-q", "threads": threads}), tmp_path)
    assert torch.equal(*begun)


def test_train_outside_the_main_thread_stops_where_the_view_returns_false(nothing_left, tmp_path):
    runs = []
    config = resolve(frames=10**9)
    train = partial(
        experiment.train, config, tmp_path, show=lambda progress: progress.frames <= 300, handle_signals=False
    )
    thread = threading.Thread(target=lambda: runs.append(train()))
    thread.start()
    thread.join(60)
    document = read_document(runs[0])
    assert (document["status"], document["reason"]) == ("interrupted", "stopped from Python")
    assert load(runs[0]).step == document["steps"] > 300
