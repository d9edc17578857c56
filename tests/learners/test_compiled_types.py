"""Images of every type on the network ``minatar``: a worker learns as with torch's layers."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from asyncrl.networks.flat import bind_gradients
from asyncrl.rollout import Rollout
from asyncrl.training import job_builder
from tests.kernels.setups import compiled

T, ACTIONS = 5, 3
SHAPE = (4, 10, 10)
HIGHEST = {"bool": 1, "uint8": 255, "float32": 1}  # of each type, in its space


class Picture(gymnasium.Env):
    """Random pictures of a type."""

    action_space = spaces.Discrete(ACTIONS)

    def __init__(self, dtype):
        self.observation_space = spaces.Box(0, HIGHEST[dtype], SHAPE, np.dtype(dtype), seed=0)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


def rollout(space):
    obs = torch.from_numpy(np.stack([space.sample() for _ in range(T + 1)]))[:, None]
    return Rollout(
        obs=obs,
        action=torch.randint(ACTIONS, (T, 1)),
        reward=torch.randn(T, 1),
        discount=torch.full((T, 1), 0.9),
        keep=torch.ones(T + 1, 1, dtype=torch.bool),
        next_action=torch.randint(ACTIONS, (1,)),
        carry=(),
    )


def gradient(learner, net, target, experience, grad):
    grad.zero_()
    learner.loss(net, target, experience).backward()
    return grad.clone()


@compiled
@pytest.mark.parametrize("dtype", HIGHEST)
@pytest.mark.parametrize("algo", ["a3c", "n-step-q"])
def test_worker_learns_from_images_of_a_type_as_torch_does(algo, dtype):
    table = {"env": f"{__name__}:Picture", "env_args": {"dtype": dtype}, "network": "minatar", "algo": algo}
    config, spec = job_builder.resolve(table | {"channels": "first"})
    assert (spec.obs_shape, spec.obs_dtype) == (SHAPE, dtype)
    job = job_builder.make_job(config, spec, (0.1,), 0)
    net, target = job.make_network(), job.make_network()
    grad = bind_gradients(net)
    learner = job.learners[0]
    fast = job.accelerate(learner, net, target, T + 1)
    experience = rollout(Picture(dtype).observation_space)
    mine = gradient(fast, net, target, experience, grad)
    for each in (net, target):
        each.body.torso.use_torch()
    theirs = gradient(learner, net, target, experience, grad)
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


@compiled
def test_worker_computes_with_the_compiled_learner_for_planes_alone():
    for dtype in HIGHEST:
        table = {"env": f"{__name__}:Picture", "env_args": {"dtype": dtype}, "network": "minatar"}
        job = job_builder.make_job(*job_builder.resolve(table | {"channels": "first"}), (0.1,), 0)
        net = job.make_network()
        bind_gradients(net)
        fast = job.accelerate(job.learners[0], net, net, T + 1)
        assert (fast is not job.learners[0]) == (dtype == "bool")
