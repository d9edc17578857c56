"""The cache of activations, unchanged pixels, and many updates with and without the kernels."""

import pytest
import torch

from asyncrl.networks.factory import build
from asyncrl.networks.torsos import cache_activations
from tests.kernels.setups import build_like, compiled, frames, gradients, states, torso_of
from tests.runtime.setups import actor, prepare, theta


@compiled
def test_activation_cache_serves_the_loss_until_it_is_cleared():
    net = build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    obs, weight = frames(6), torch.randn(5, 256)
    clear = cache_activations(net, 6)

    def act():
        with torch.no_grad():
            for part in obs[:4].split(2), obs[4:5].split(1):
                for states in part:
                    net(states)

    clear()
    act()
    fresh = gradients(build_like(net), obs[:5], weight)
    for mine, theirs in zip(gradients(net, obs[:5], weight), fresh, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        net.layers[0].weight.mul_(-1)
    stale = gradients(net, obs[:5], weight)
    clear()
    fresh = gradients(build_like(net), obs[:5], weight)
    assert not torch.allclose(stale[0], fresh[0], rtol=1e-2, atol=1e-2)  # the stale activations were used
    assert all(map(torch.equal, gradients(net, obs[:5], weight), fresh))


def game(name, steps, batch):
    """Return ``[steps, batch, C, H, W]``: game 0 changes little, game 1 does not change, others change completely."""
    obs = states(name, steps * batch).unflatten(0, (steps, batch))
    side = obs.shape[-1] - 2
    generator = torch.Generator().manual_seed(1)
    for t in range(1, steps):
        obs[t, :2] = obs[t - 1, :2]
        for _ in range(3):
            plane, y, x = (int(torch.randint(size, (), generator=generator)) for size in (4, side, side))
            obs[t, 0, plane, y : y + 3, x : x + 3] += 100
    return obs


@compiled
@pytest.mark.parametrize("name", ["nips", "nature", "compact"])
@pytest.mark.parametrize("threads", [1, 2])
def test_unchanged_pixels_keep_features_and_gradients_equal_to_torch(name, threads, plain):
    torch.set_num_threads(threads)
    net = torso_of(name)
    obs, weight = game(name, 6, 3), torch.randn(15, net.features)
    fresh = [net(states).detach() for states in obs]
    cache_activations(net, 18)
    with torch.no_grad():
        acting = [net(states) for states in obs]
    assert net.cache.lookup(obs.flatten(0, 1)).rows_per_step == 3
    torch.testing.assert_close(acting, fresh)
    mine = gradients(net, obs[:5].flatten(0, 1), weight)
    plain()
    for gradient, theirs in zip(mine, gradients(net, obs[:5].flatten(0, 1), weight), strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(gradient / scale, theirs / scale, rtol=0, atol=5e-6)


@compiled
def test_reserve_of_a_larger_batch_copies_nothing():
    """With several threads, the rows that it would copy may not be computed yet."""
    net = build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    cache_activations(net, 9)
    obs = frames(9)
    net.cache.reserve(obs[:1])
    assert net.cache.reserve(obs[1:]).rows_per_step == 0


@compiled
@pytest.mark.parametrize("capacity", [0, 2])
def test_activation_cache_ignores_other_states_and_those_without_room(capacity):
    net = build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    cache_activations(net, capacity)
    obs, other = frames(3), frames(3, seed=1)
    with torch.no_grad():
        for states in obs.split(1):
            net(states)
    weight = torch.randn(3, 256)
    for states in (obs, other, obs[1:]):
        mine = gradients(net, states, weight[: len(states)])
        theirs = gradients(build_like(net), states, weight[: len(states)])
        assert all(map(torch.equal, mine, theirs))


class Repeating:
    """A learner whose actions are recorded, or replaced by those recorded before."""

    def __init__(self, learner, record, recorded):
        self._learner, self._record, self._recorded = learner, record, recorded

    def __getattr__(self, name):
        return getattr(self._learner, name)

    def act(self, *args):
        choice = self._learner.act(*args)
        if self._record:
            self._record(choice.action.clone())
            return choice
        return choice._replace(action=next(self._recorded))


@compiled
@pytest.mark.parametrize(
    ("algo", "network", "updates"),
    [
        pytest.param("a3c", "nips", 1_000, marks=pytest.mark.learning),
        pytest.param("n-step-q", "nips", 200, marks=pytest.mark.learning),
        ("one-step-q", "nips", 20),
        ("a3c", "nature-lstm", 20),
    ],
)
def test_many_updates_end_with_the_weights_of_torch(algo, network, updates, plain):
    """The same games: torch's learner takes the actions that the compiled one took, since rounding may decide a tie.

    Differences of rounding grow: in n-step Q from 2e-7 after 200 updates to 2e-4 after 400 and 3e-3 after 500.
    """
    weights, taken = [], []
    for switch, act in ((lambda: None, taken.append), (plain, None)):
        switch()
        subject = actor(*prepare(algo=algo, env="pong", network=network, frames="10M"))
        subject.actor.learner = Repeating(subject.actor.learner, act, iter(taken))
        before = theta(subject.parameters)
        for _ in range(updates):
            subject.update()
        weights.append(theta(subject.parameters))
    moved, apart = (weights[1] - before).norm(), (weights[1] - weights[0]).norm()
    assert moved > 1e-5 * updates
    assert apart < 1e-2 * moved
