"""The compiled part: built once and kept, done without where it cannot be, and equal to torch to rounding."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from asyncrl.kernels import native, torso
from asyncrl.networks.factory import build
from asyncrl.networks.torsos import cache_activations
from asyncrl.optim import RMSProp
from tests.runtime.setups import actor, prepare

compiled = pytest.mark.skipif(native.load() is None, reason=f"no compiled part: {native.status()}")


@pytest.fixture(autouse=True)
def one_thread():
    """One thread, as an actor-learner has, unless a test says otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def plain(monkeypatch):
    """Return a function that switches the compiled part off."""

    def switch():
        monkeypatch.setattr(native, "load", lambda: None)
        monkeypatch.setattr(torso, "load_kernels", lambda name: None)

    return switch


def test_a_machine_with_a_compiler_and_avx2_has_it():
    if shutil.which("cc") and "avx2" in Path("/proc/cpuinfo").read_text() and os.environ.get("ASYNCRL_NATIVE") != "0":
        assert native.status() == native.IN_USE


SAY = "print(native.load() is not None, native.status())"


@pytest.fixture
def elsewhere(tmp_path):
    """Return a function that runs code in a new process with a home of its own, and what was built there."""

    def run(code=SAY, **changes):
        variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": "."} | changes
        variables = {name: value for name, value in variables.items() if value is not None}
        command = [sys.executable, "-c", f"from asyncrl.kernels import native\n{code}"]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout.strip()

    run.built = lambda: [(file, file.stat().st_mtime_ns) for file in (tmp_path / ".cache" / "asyncrl").iterdir()]
    return run


@compiled
def test_it_is_built_once_and_kept(elsewhere):
    found = []
    for _ in range(2):
        assert elsewhere() == f"True {native.IN_USE}"
        found.append(elsewhere.built())
    assert len(found[0]) == 1
    assert found[0] == found[1]


@compiled
@pytest.mark.parametrize("damage", [b"", b"not a library"])
def test_a_damaged_one_is_built_again(elsewhere, damage):
    elsewhere()
    ((file, _),) = elsewhere.built()
    file.write_bytes(damage)
    assert elsewhere() == f"True {native.IN_USE}"
    assert len(file.read_bytes()) > 1_000


@compiled
def test_several_processes_may_build_it_at_once(elsewhere):
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: elsewhere(), range(4))) == [f"True {native.IN_USE}"] * 4
    assert len(elsewhere.built()) == 1


@compiled
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ASYNCRL_NATIVE": "0"}, "switched off by ASYNCRL_NATIVE=0"),
        ({"CC": "no-such-compiler"}, "no C compiler"),
        ({"CC": "false"}, "false failed"),
        ({"XDG_CACHE_HOME": "/proc/nowhere"}, "No such file or directory"),
        ({"CC": "cc -march=x86-64"}, "no AVX2"),
    ],
)
def test_without_it_the_reason_is_known(elsewhere, changes, reason):
    if "march" in changes.get("CC", ""):  # ours comes last, and would win
        code = f"native.FLAGS = native.FLAGS[:1] + native.FLAGS[2:]\n{SAY}"
        said = elsewhere(code, **changes)
    else:
        said = elsewhere(**changes)
    assert said.startswith("False ")
    assert reason in said


@compiled
@pytest.mark.parametrize("changes", [{"CC": ""}, {"CC": "cc -m64"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_it_is_built_under_any_name_and_in_any_locale(elsewhere, changes):
    assert elsewhere(PYTHONCOERCECLOCALE="0", **changes) == f"True {native.IN_USE}"


@compiled
def test_a_source_that_does_not_compile_is_done_without(elsewhere, tmp_path):
    source = tmp_path / "broken.c"
    source.write_text("int f( {")
    said = elsewhere(f"import pathlib; native.SOURCE = pathlib.Path({str(source)!r})\n{SAY}")
    assert said.startswith("False ")
    assert "error" in said
    assert elsewhere.built() == []


def frames(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 4, 84, 84), dtype=torch.uint8, generator=generator)


@compiled
@pytest.mark.parametrize("name", ["nips", "nature"])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 8, 13, 40])
@pytest.mark.parametrize("expanded", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_torso_and_its_gradients_are_torchs(name, count, expanded, threads, plain):
    torch.manual_seed(count)
    torch.set_num_threads(threads)
    net = build(name, (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    obs = frames(count)
    weight = torch.randn(1, net.features).expand(count, -1) if expanded else torch.randn(count, net.features)
    results = []
    for switch in (lambda: None, plain):
        switch()
        features = net(obs)
        with torch.no_grad():
            torch.testing.assert_close(net(obs), features)
        results.append([features, *torch.autograd.grad(features, list(net.parameters()), weight)])
    for mine, theirs in zip(*results, strict=True):
        scale = float(theirs.detach().abs().max())
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine / scale, theirs / scale, rtol=0, atol=5e-6)
    assert 0 < (results[0][0] == 0).float().mean() < 1  # some units are off, some on


@compiled
@pytest.mark.parametrize("channels", [0, 5, 32])
def test_silent_channels_and_dark_states_are_torchs(channels, plain):
    net = build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    with torch.no_grad():
        for layer in (0, 2):
            net.layers[layer].bias.fill_(-0.01)  # nothing is active where all is dark
        net.layers[2].bias[:channels] = -100.0
    obs = frames(3)
    obs[-1] = 0
    mine = gradients(net, obs, torch.ones(3, 256)), net(obs)
    plain()
    torch.testing.assert_close(mine, (gradients(net, obs, torch.ones(3, 256)), net(obs)))


@compiled
def test_a_weight_of_a_convolution_that_is_no_number_is_as_visible_as_in_torch(plain):
    net = build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    with torch.no_grad():
        net.layers[0].weight[3, 2, 1, 0] = torch.nan
    found = []
    for switch in (lambda: None, plain):
        switch()
        features = net(frames(2))
        gradients = torch.autograd.grad(features.sum(), list(net.parameters()))
        found.append([part.isnan() for part in (features, *gradients)])
    assert all(map(torch.equal, *found))
    assert found[0][0].any()
    assert found[0][3].any()


@compiled
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("owned", [False, True])
def test_gradients_are_added_to_those_that_are_there(owned, threads):
    torch.set_num_threads(threads)
    net = build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    weight = torch.randn(5, 256)
    once = gradients(net, frames(5), weight)
    for parameter in net.parameters() if owned else ():
        parameter.grad = torch.zeros_like(parameter)
    places = [parameter.grad for parameter in net.parameters()]
    for _ in range(2):
        (net(frames(5)) * weight).sum().backward()
    for parameter, gradient, place in zip(net.parameters(), once, places, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * gradient, rtol=1e-4, atol=1e-4)
        assert not owned or parameter.grad is place


def test_frames_of_another_shape_are_left_to_torch():
    net = build("nips", (3, 64, 64), actions=6, continuous=False, policy=False).body.torso
    assert net.kernels is None
    obs = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    torch.testing.assert_close(net(obs), net.layers(obs.float() / 255))


@compiled
@pytest.mark.parametrize("size", [1, 15, 16, 1_000])
def test_rmsprop_is_torchs(size, plain):
    torch.manual_seed(size)
    rule = RMSProp(shared=True, alpha=0.99, eps=0.1)
    start = torch.randn(size), torch.rand(1, size)
    gradients = torch.randn(5, size)
    gradients[1:3, 16:] = -0.0  # where nothing was active
    gradients[3:][torch.rand(2, size) < 0.95] = 0.0  # and where little was
    results = []
    for switch in (lambda: None, plain):
        switch()
        theta, state = (part.clone() for part in start)
        for grad in gradients:
            rule.apply(theta, grad, state, 0.01, 0)
        results.append(torch.cat([theta, state[0]]))
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-6)
    assert not torch.equal(results[0][:size], start[0])


@compiled
def test_numbers_of_another_size_are_left_to_torch(plain):
    theta, grad = torch.randn(20, dtype=torch.float64), torch.randn(20, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="double"):  # which says so
        build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).double()(frames(2)[None], ())
    results = []
    for switch in (lambda: None, plain):
        switch()
        moved, state = theta.clone(), torch.zeros(1, 20, dtype=torch.float64)
        RMSProp(shared=True, alpha=0.99, eps=0.1).apply(moved, grad, state, 0.01, 0)
        results.append(moved)
    assert torch.equal(*results)


def gradients(net, obs, weight):
    return torch.autograd.grad((net(obs) * weight).sum(), list(net.parameters()))


@compiled
def test_what_was_computed_for_acting_is_used_for_learning_until_it_is_cleared():
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
    assert not torch.allclose(stale[0], fresh[0], rtol=1e-2, atol=1e-2)  # it is really used
    assert all(map(torch.equal, gradients(net, obs[:5], weight), fresh))


def game(steps, batch):
    """Return ``[steps, batch, 4, 84, 84]``: one game of which little changes, one that stands still, others all new."""
    obs = frames(steps * batch).unflatten(0, (steps, batch))
    generator = torch.Generator().manual_seed(1)
    for t in range(1, steps):
        obs[t, :2] = obs[t - 1, :2]
        for _ in range(3):
            plane, y, x = (int(torch.randint(size, (), generator=generator)) for size in (4, 82, 82))
            obs[t, 0, plane, y : y + 3, x : x + 3] += 100
    return obs


@compiled
@pytest.mark.parametrize("name", ["nips", "nature"])
@pytest.mark.parametrize("threads", [1, 2])
def test_what_did_not_change_since_the_last_step_is_copied_and_its_gradients_are_torchs(name, threads, plain):
    torch.set_num_threads(threads)
    net = build(name, (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    obs, weight = game(6, 3), torch.randn(15, net.features)
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
def test_a_batch_that_is_larger_than_the_last_one_copies_nothing():
    """With several threads, what it would copy may not be there yet."""
    net = build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    cache_activations(net, 9)
    obs = frames(9)
    net.cache.reserve(obs[:1])
    assert net.cache.reserve(obs[1:]).rows_per_step == 0


def build_like(net):
    """Return a torso with the same weights and no cache."""
    other = build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    other.load_state_dict(net.state_dict())
    return other


@compiled
@pytest.mark.parametrize("capacity", [0, 2])
def test_other_states_and_those_without_room_are_not_taken_for_known_ones(capacity):
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
    [("a3c", "nips", 1_000), ("n-step-q", "nips", 200), ("one-step-q", "nips", 20), ("a3c", "nature-lstm", 20)],
)
def test_after_many_updates_the_weights_agree(algo, network, updates, plain):
    """The same games: torch's learner takes the actions that the compiled one took, since rounding may decide a tie.

    Differences of rounding grow: in n-step Q from 2e-7 after 200 updates to 2e-4 after 400 and 3e-3 after 500.
    """
    weights, taken = [], []
    for switch, act in ((lambda: None, taken.append), (plain, None)):
        switch()
        subject = actor(*prepare(algo=algo, env="pong", network=network, frames="10M"))
        subject.learner = Repeating(subject.learner, act, iter(taken))
        before = subject.shared.theta.clone()
        for _ in range(updates):
            subject.update()
        weights.append(subject.shared.theta.clone())
    moved, apart = (weights[1] - before).norm(), (weights[1] - weights[0]).norm()
    assert moved > 1e-5 * updates
    assert apart < 1e-2 * moved
