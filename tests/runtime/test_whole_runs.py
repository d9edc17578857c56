"""Whole runs of two actor-learners in this process, one rollout each in turn, against the paper's loops."""

import copy
from functools import partial

import numpy as np
import pytest
import torch

from asyncrl.envs.base import Discrete, Episode, Spec, Step
from asyncrl.learners.a3c import A3C
from asyncrl.learners.exploration import EpsilonGreedy
from asyncrl.learners.n_step_q import NStepQ
from asyncrl.learners.one_step_q import OneStepQ
from asyncrl.learners.one_step_sarsa import OneStepSarsa
from asyncrl.networks.flat import flatten
from asyncrl.optim import LearningRate, RMSProp
from asyncrl.runtime.job import Job
from asyncrl.runtime.random_streams import RandomStreams
from asyncrl.runtime.reporter import Reporter
from asyncrl.runtime.worker import ActorLearner
from tests import pseudocode
from tests.learners import script as scripts
from tests.pseudocode import Tape
from tests.runtime.setups import share

WORKERS, T_MAX, BUDGET, TARGET_PERIOD = 2, 5, 300, 37
LR, ALPHA, EPS, CLIP, GAMMA = 0.02, 0.9, 0.1, 1.0, 0.9
BETA, VALUE_WEIGHT = 0.03, 0.5
GREEDY = EpsilonGreedy((0.0,), 0)


def s3(path, net, target):
    return pseudocode.algorithm_s3(path, net, GAMMA, BETA, VALUE_WEIGHT)


def with_gamma(loop):
    return lambda path, net, target: loop(path, net, target, GAMMA)


METHODS = {
    "one-step-q": (OneStepQ(GREEDY, TARGET_PERIOD), with_gamma(pseudocode.algorithm_1_q)),
    "one-step-sarsa": (OneStepSarsa(GREEDY, TARGET_PERIOD), with_gamma(pseudocode.algorithm_1_sarsa)),
    "n-step-q": (NStepQ(GREEDY, TARGET_PERIOD), with_gamma(pseudocode.algorithm_s2)),
    "a3c": (A3C(BETA, VALUE_WEIGHT), s3),
}


class Wandering:
    """One environment of random states and rewards, and episodes of random length, all written on a tape."""

    num_envs = 1
    spec = Spec((4,), "float64", Discrete(scripts.ACTIONS), 1)

    def reset(self, seeds):
        self.rng = np.random.default_rng(seeds[0])
        self.tape = Tape([self.see()], [], [], [])
        return self.tape.s[0][None].numpy()

    def see(self):
        return torch.from_numpy(self.rng.normal(size=4))

    def step(self, action):
        s, reward, over = self.see(), self.rng.normal(size=1), self.rng.random(1) < 0.15
        for column, value in zip(self.tape, (s, torch.tensor(action[0]), float(reward[0]), bool(over[0])), strict=True):
            column.append(value)
        games = (Episode(0, 0.0, 1, True),) if over[0] else ()
        return Step(s[None].numpy(), reward, over, np.zeros(1, np.bool_), s[None].numpy(), games)


def train(learner, net, optimizer, events=None):
    """Return the parameters after a run, and each worker's tape; collect events in a list."""
    worlds = [Wandering() for _ in range(WORKERS)]
    job = Job(
        learners=(learner,) * WORKERS,
        make_network=lambda: copy.deepcopy(net),
        make_environments=lambda: None,
        optimizer=optimizer,
        learning_rate=LearningRate(LR, BUDGET),
        clip=CLIP,
        t_max=T_MAX,
        gamma=GAMMA,
        budget=BUDGET,
        seed=1,
    )
    parameters = share(job, flatten(net))
    actors = [ActorLearner(i, job, parameters, worlds[i], RandomStreams(1, (0, i))) for i in range(WORKERS)]
    send = events.extend if events is not None else lambda episodes: None
    reporters = [Reporter(i, send) for i in range(WORKERS)]
    while parameters.T < BUDGET:
        for i, actor in enumerate(actors):
            reporters[i].add(scripts.finish(actor.update()))
    for reporter in reporters:
        reporter.send_episodes()
    for actor in actors:  # one step more, for the action that Sarsa has decided on
        act = partial(learner.act, actor.net, T=parameters.T, generator=actor.generator)
        with torch.no_grad():
            scripts.finish(actor.stream.collect(act))
    return parameters, [world.tape for world in worlds]


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("method", "network", "one_g"),
    [*((method, "mlp", True) for method in METHODS), ("a3c", "mlp-lstm", True), ("n-step-q", "mlp-lstm", True),
     ("a3c", "mlp", False), ("one-step-q", "mlp", False)],
)  # fmt: skip
def test_a_run_ends_with_the_weights_that_the_papers_loop_ends_with(method, network, one_g):
    learner, loop = METHODS[method]
    net = scripts.make(network, policy=method == "a3c")
    start = flatten(net)
    parameters, tapes = train(learner, net, RMSProp(one_g, ALPHA, EPS))
    acted = []

    def watched(path, net, target):
        """Note which actions a greedy actor would have taken with the weights of now."""
        if method != "a3c" and network == "mlp":
            best = [int(net.q(pseudocode.Eye(net.body, ()).see(s)).argmax()) for s in path.s]
            ahead = method == "one-step-sarsa"
            acted.append((best[ahead:-1], [int(a) for a in path.a[ahead:]]))
            if ahead:
                acted.append((best[-1:], [int(path.a_after)]))  # with the weights before the update
        return loop(path, net, target)

    target = copy.deepcopy(net)
    T = pseudocode.whole_run(
        watched, tapes, net, target,
        t_max=T_MAX, I_target=TARGET_PERIOD, T_max=BUDGET, η=LR, α=ALPHA, ε=EPS, clip=CLIP, one_g=one_g,
    )  # fmt: skip
    assert parameters.T == T
    tensors = parameters.tensors()
    assert (tensors["theta"] - start).norm() > 0.1
    torch.testing.assert_close(tensors["theta"], pseudocode.flat(net), rtol=1e-8, atol=1e-10)
    if method != "a3c":
        torch.testing.assert_close(tensors["target"], pseudocode.flat(target), rtol=1e-8, atol=1e-10)
    assert all(best == taken for best, taken in acted)


def test_two_workers_live_in_different_worlds():
    _, (one, other) = train(METHODS["a3c"][0], scripts.make("mlp", policy=True), RMSProp(True, ALPHA, EPS))
    assert not torch.equal(one.s[0], other.s[0])
    assert [int(a) for a in one.a[:40]] != [int(a) for a in other.a[:40]]


def test_epsilon_is_annealed_over_the_steps_of_all_workers():
    learner, events = OneStepQ(EpsilonGreedy((0.1,), BUDGET), TARGET_PERIOD), []
    train(learner, scripts.make("mlp", policy=False), RMSProp(True, ALPHA, EPS), events)
    assert len(events) > 30
    for game in events:
        assert 1 - 0.9 * game.T / BUDGET - 1e-6 <= game.epsilon <= 1 - 0.9 * (game.T - T_MAX) / BUDGET + 1e-6
