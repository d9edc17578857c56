"""Environments with several actions at once (MultiDiscrete): policies, training, and the refusal by value methods."""

import math
import sys

import gymnasium
import numpy as np
import pytest
import torch

import asyncrl
from asyncrl.config import Atari
from asyncrl.envs.base import MultiDiscrete, Spec
from asyncrl.envs.make import describe
from asyncrl.errors import InputError
from asyncrl.networks.distributions import Softmax, Softmaxes
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store.manifest import CheckpointError
from tests.own_envs import Locks

LOCKS = "tests.own_envs:Locks"
SIZES = (2, 3, 4)


def random_policies():
    logits = torch.randn(5, 3, sum(SIZES), generator=torch.Generator().manual_seed(1))
    parts = [Softmax(torch.log_softmax(part, -1)) for part in torch.split(logits, list(SIZES), -1)]
    return Softmaxes(torch.cat([part.log_pi for part in parts], -1), SIZES), parts


def test_log_prob_and_entropy_of_several_actions_are_sums_over_them():
    policy, parts = random_policies()
    action = torch.stack([torch.randint(n, (5, 3), generator=torch.Generator().manual_seed(n)) for n in SIZES], -1)
    each = [part.log_prob(action[..., i]) for i, part in enumerate(parts)]
    torch.testing.assert_close(policy.log_prob(action), sum(each))
    torch.testing.assert_close(policy.entropy(), sum(part.entropy() for part in parts))


def test_samples_of_several_actions_have_the_probabilities_of_each():
    policy, parts = random_policies()
    one = Softmaxes(policy.log_pi[:1, :1].expand(20_000, 1, -1), SIZES)
    action = one.sample(torch.Generator().manual_seed(0))[:, 0]  # [N, K]
    for i, part in enumerate(parts):
        shares = torch.bincount(action[:, i], minlength=SIZES[i]) / len(action)
        torch.testing.assert_close(shares, part.log_pi[0, 0].exp(), rtol=0, atol=0.02)
    # the parts are independent: all combinations of the two first have the product of their shares
    joint = torch.bincount(action[:, 0] * 3 + action[:, 1], minlength=6) / len(action)
    product = torch.outer(parts[0].log_pi[0, 0].exp(), parts[1].log_pi[0, 0].exp()).ravel()
    torch.testing.assert_close(joint, product, rtol=0, atol=0.02)


def test_spaces_of_several_actions_are_described():
    spec = describe(LOCKS, Atari())
    assert spec == Spec((9,), "float32", MultiDiscrete(SIZES), 1)
    assert spec.summary() == "observations float32 [9], actions of 3 parts: 2, 3, 4"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a run whose action space is a table, which begins at other numbers than 0."""
    settings = {"threads": 1, "frames": 300, "progress": False, "evaluation": {"episodes": 1}}
    results, args = tmp_path_factory.mktemp("results"), {"is_square": True}
    return asyncrl.train("a3c", LOCKS, results=results, name="locks", env_args=args, **settings)


@pytest.mark.parametrize("deterministic", [True, False])
def test_policy_acts_as_env_step_takes_it(trained, deterministic):
    policy = trained.load("last")
    env = policy.make_env()
    observation, _ = env.reset(seed=1)
    for _ in range(5):
        action = policy.act(observation, deterministic)
        assert env.action_space.contains(action)
        observation, *_ = env.step(action)


def test_best_action_has_the_greatest_score_of_each_part(trained):
    policy = trained.load("last")
    observation, _ = policy.make_env().reset(seed=1)
    scores = policy.module(torch.from_numpy(observation)[None])[0]
    assert scores.exp().sum().item() == pytest.approx(3)
    best = [int(part.argmax()) for part in torch.split(scores, list(SIZES))]
    assert (policy.act(observation, deterministic=True).ravel() - Locks.FIRST).tolist() == best


@pytest.mark.learning
def test_export_of_several_actions_has_the_scores_of_all(trained, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    policy = trained.load("last")
    observation, _ = policy.make_env().reset(seed=2)
    session = runtime.InferenceSession(str(policy.export(tmp_path / "locks.onnx")))
    (scores,) = session.run(None, {"obs": observation[None]})
    parts = np.split(scores[0], np.cumsum(SIZES)[:-1])
    action = policy.act(observation, deterministic=True).ravel() - Locks.FIRST
    assert [int(part.argmax()) for part in parts] == action.tolist()


def test_run_of_several_actions_resumes_with_its_log_of_actions(trained, command_line):
    saved = checkpoints.load(trained.path)
    assert saved.tensors["worker.0.actions"].shape[1:] == (1, 3)
    assert saved.tensors["worker.0.actions"].dtype == torch.uint8
    code, _, err = command_line("resume", str(trained.path), "--frames", "400")
    assert code == 0, err


def test_checkpoint_with_an_action_that_a_part_does_not_have_is_refused(trained):
    saved = checkpoints.load(trained.path)
    saved.tensors["worker.0.actions"][0, 0] = torch.tensor([2, 0, 0], dtype=torch.uint8)
    checkpoints.save(trained.path, saved, keep=3)
    with pytest.raises(CheckpointError, match="actions that this run's environment does not have"):
        trained.load(str(saved.step))


@pytest.mark.parametrize("algo", ["one-step-q", "one-step-sarsa", "n-step-q"])
def test_value_method_is_refused_with_a_wrapper_that_helps(command_line, algo):
    code, _, err = command_line("run", "--env", LOCKS, "--algo", algo, "--dry-run")
    assert (code, err.count("\n")) == (2, 1)
    assert f"has actions of 3 parts (MultiDiscrete), which {algo} cannot choose from; use a3c or a2c, or number" in err
    wrapper = err[err.index("gymnasium.wrappers.TransformAction") :].rstrip(".\n").partition(" See:")[0]
    env = eval(wrapper, {"gymnasium": gymnasium, "numpy": np, "env": Locks()})
    assert env.action_space.n == math.prod(SIZES)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([2] * 2_000, r"Supported spaces: Discrete, MultiDiscrete.*1,000 parts"),
        ([60_000, 60_000], "at most 65,536 actions"),
    ],
)
def test_too_many_actions_at_once_are_refused(sizes, message, tmp_path, monkeypatch):
    (tmp_path / "crowd.py").write_text(
        "from gymnasium import spaces\nfrom tests.own_envs import Walk\nclass Crowd(Walk):\n"
        f"    action_space = spaces.MultiDiscrete({sizes})\n    def __init__(self):\n        super().__init__(3)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "crowd", raising=False)
    with pytest.raises(InputError, match=message):
        describe("crowd:Crowd", Atari())
