"""The Python interface: what the top of the package offers, used as a program of one's own would."""

import subprocess
import sys
import threading

import gymnasium
import numpy as np
import pytest
import torch

import asyncrl

CORRIDOR = {"env": "tests.runtime.toys:Corridor", "threads": 1, "frames": 2_000, "progress": False}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    settings = CORRIDOR | {"optimizer": {"lr": 1e-2}, "seed": 3, "evaluation": {"episodes": 2}}
    return asyncrl.train("one-step-q", results=results, name="corridor", **settings)


def test_train_with_settings_of_every_form_returns_its_run(trained):
    assert (trained.id, trained.status) == ("corridor", "finished")
    assert trained.frames >= 2_000
    assert (trained.config.algo, trained.config.optimizer.lr, trained.config.seed) == ("one-step-q", 1e-2, 3)
    assert trained.evaluations["frames"].iloc[-1] == trained.frames
    assert len(trained.episodes) > 0
    assert set(trained.metrics["run"]) == {"corridor"}


def test_train_with_dotted_names_means_the_nested_setting(tmp_path):
    run = asyncrl.train("a3c", results=tmp_path, **CORRIDOR | {"frames": "200"}, **{"optimizer.lr": 3e-3, "t_max": 7})
    assert (run.config.optimizer.lr, run.config.t_max, run.config.frames) == (3e-3, 7, 200)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"thread": 2}, "There is no setting 'thread'. Did you mean 'threads'"),
        ({"threads": "two"}, "threads should be"),
        ({"optimizer": {"rate": 1}}, "There is no setting 'optimizer.rate'"),
        ({"name": "a/b"}, "cannot be named"),
    ],
)
def test_train_with_a_wrong_setting_raises_before_anything_is_written(tmp_path, given, message):
    results = tmp_path / "results"
    with pytest.raises(asyncrl.InputError, match=message):
        asyncrl.train("a3c", results=results, **CORRIDOR | given)
    assert not results.exists()


def test_train_whose_callback_returns_false_stops_with_a_checkpoint_and_resumes(tmp_path):
    seen = []

    def callback(progress):
        seen.append(progress.frames)
        return progress.frames < 300

    run = asyncrl.train("a3c", results=tmp_path, callback=callback, **CORRIDOR | {"frames": 10**9})
    assert run.status == "interrupted"
    assert seen[-1] >= 300
    before = run.frames
    again = run.resume(before + 500, progress=False)
    assert (again.path, again.status) == (run.path, "finished")
    assert again.frames >= before + 500


def test_train_in_a_thread_works_and_prints_its_progress(tmp_path, capsys):
    runs = []
    settings = CORRIDOR | {"progress": True}
    thread = threading.Thread(target=lambda: runs.append(asyncrl.train("a3c", results=tmp_path, **settings)))
    thread.start()
    thread.join(60)
    assert runs[0].status == "finished"
    assert "100.0%" in capsys.readouterr().out


def test_load_plays_a_gymnasium_loop_and_takes_the_best_actions(trained):
    policy = asyncrl.load(trained)
    env = policy.make_env()
    observation, _ = env.reset(seed=0)
    score = 0.0
    for _ in range(20):
        action = policy.act(observation, deterministic=True)
        observation, reward, terminated, truncated, _ = env.step(action)
        score += reward
        if terminated or truncated:
            break
    assert score == pytest.approx(trained.evaluate("best", episodes=2)["mean"], abs=1)
    assert policy.frames <= trained.frames


def test_load_by_id_and_results_gives_the_same_weights(trained):
    by_id = asyncrl.load("corr", "last", results=trained.path.parent)
    by_path = asyncrl.load(trained.path, "last")
    ours, theirs = (policy.module.state_dict() for policy in (by_id, by_path))
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_act_with_a_wrong_observation_raises_input_error(trained):
    with pytest.raises(asyncrl.InputError, match=r"act\(\) got an observation of shape \(99,\)"):
        asyncrl.load(trained).act(np.zeros(99, np.float32))


def test_act_samples_from_a_policy_and_repeats_with_a_seed(tmp_path):
    run = asyncrl.train("a3c", "CartPole-v1", results=tmp_path, threads=1, frames=500, progress=False)
    policy, observation = run.load("last"), np.array([0.01, 0.0, 0.02, 0.0], np.float32)
    drawn = []
    for _ in range(2):
        policy.reset(seed=5)
        drawn.append([policy.act(observation) for _ in range(50)])
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {0, 1}
    assert len({policy.act(observation, deterministic=True) for _ in range(20)}) == 1


@pytest.mark.learning
def test_act_with_an_lstm_remembers_until_reset(tmp_path):
    settings = {"threads": 1, "frames": 300, "progress": False, "network": "mlp-lstm", "initial_weights": "orthogonal"}
    policy = asyncrl.train("a3c", "Pendulum-v1", results=tmp_path, **settings).load("last")
    observation = np.array([1.0, 0.0, 0.5], np.float32)
    first, second = (policy.act(observation, deterministic=True) for _ in range(2))
    policy.reset()
    assert np.array_equal(policy.act(observation, deterministic=True), first)
    assert not np.array_equal(first, second)
    assert first.shape == (1,)


@pytest.mark.learning
@pytest.mark.parametrize(
    ("env", "names"), [("CartPole-v1", ["h", "c"]), ("Pendulum-v1", ["h", "c", "h_critic", "c_critic"])]
)
def test_export_of_a_network_with_an_lstm_takes_and_returns_its_state(tmp_path, env, names):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    settings = {"threads": 1, "frames": 300, "progress": False, "network": "mlp-lstm"}
    policy = asyncrl.train("a3c", env, results=tmp_path, **settings).load("last")
    session = runtime.InferenceSession(str(policy.export(tmp_path / "lstm.onnx")))
    assert [given.name for given in session.get_inputs()] == ["obs", *names]
    obs = policy.make_env().reset(seed=1)[0][None]
    carry = policy.module.initial_carry(1)
    state = {name: part.numpy() for name, part in zip(names, carry, strict=True)}
    for _ in range(3):
        scores, *after = session.run(None, {"obs": obs} | state)
        expected, *carry = policy.module(torch.from_numpy(obs), *carry)
        assert np.allclose(scores, expected.numpy(), atol=1e-5)
        state = dict(zip(names, after, strict=True))


@pytest.mark.learning
def test_policy_of_an_atari_game_plays_whole_unclipped_games(tmp_path):
    settings = {"threads": 1, "frames": 400, "progress": False, "evaluation": {"episodes": 0}}
    policy = asyncrl.train("n-step-q", "pong", results=tmp_path, **settings).load("last")
    env = policy.make_env()
    assert isinstance(env, gymnasium.Env)
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    for _ in range(3):
        observation, reward, terminated, _, _ = env.step(policy.act(observation))
    assert (observation.shape, reward, terminated) == ((4, 84, 84), 0.0, False)
    env.close()


def test_runs_returns_tables_of_the_runs_that_fulfil_conditions(trained):
    tables = asyncrl.runs(trained.path.parent, where="algo=one-step-q")
    assert list(tables.runs["id"]) == ["corridor"]
    assert set(tables.evaluations["run"]) == {"corridor"}
    assert asyncrl.runs(trained.path.parent, where="algo=a3c").runs.empty


@pytest.mark.learning
def test_sweep_trains_its_cells_once_and_returns_their_tables(tmp_path):
    file = tmp_path / "rates.toml"
    file.write_text(
        '[sweep]\nseeds = 2\n[base]\nenv = "CartPole-v1"\nalgo = "a3c"\nthreads = 1\nframes = 300\n'
        "evaluation.episodes = 1\n"
    )
    for _ in range(2):
        tables = asyncrl.sweep(file, results=tmp_path / "results", progress=False)
        assert sorted(tables.runs["seed"]) == [1, 2]
        assert set(tables.runs["status"]) == {"finished"}


def test_import_offers_the_public_names_without_torch():
    code = (
        "import sys, asyncrl; asyncrl.train; asyncrl.find; asyncrl.InputError; "
        "assert not {'torch', 'pandas', 'optuna'} & set(sys.modules), set(sys.modules); "
        "assert set(asyncrl.__all__) <= set(dir(asyncrl))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_unknown_public_name_raises_attribute_error():
    with pytest.raises(AttributeError, match="trian"):
        asyncrl.trian  # noqa: B018


@pytest.mark.learning
def test_train_in_a_program_from_standard_input_starts_its_workers(tmp_path):
    code = "import asyncrl\nprint(asyncrl.train('a3c', 'CartPole-v1', threads=1, frames=200, progress=False).status)"
    done = subprocess.run(
        [sys.executable, "-"], input=code, text=True, capture_output=True, cwd=tmp_path, timeout=100, check=False
    )
    assert done.stdout == "finished\n", done.stderr
