"""The compiled part: built once and kept, done without where it cannot be, and equal to torch to rounding."""

import shutil
import subprocess
import sys

import pytest
import torch

from asyncrl import native
from asyncrl.networks import torso
from asyncrl.networks.build import build
from asyncrl.optim import RMSProp
from tests.runtime.setups import actor, prepare

compiled = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture
def plain(monkeypatch):
    """Return a function that switches the compiled part off."""

    def switch():
        monkeypatch.setattr(native, "library", lambda: None)
        monkeypatch.setattr(torso, "torso", lambda name: None)

    return switch


def in_a_new_process(code, **environment):
    command = [sys.executable, "-c", f"from asyncrl import native\n{code}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def environment(tmp_path, **more):
    return {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": ".", **more}


@compiled
def test_it_is_built_once_and_kept(tmp_path):
    code = "print(native.library() is not None, native.status())"
    for _ in range(2):
        assert in_a_new_process(code, **environment(tmp_path)) == "True compiled for this machine"
        (kept,) = (tmp_path / ".cache" / "asyncrl").iterdir()
        found = kept.name, kept.stat().st_mtime_ns
        first = locals().get("first", found)
        assert found == first


@compiled
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ASYNCRL_NATIVE": "0"}, "switched off by ASYNCRL_NATIVE=0"),
        ({"CC": "no-such-compiler"}, "no C compiler"),
        ({"CC": "false"}, "/usr/bin/false failed"),
        ({"XDG_CACHE_HOME": "/proc/nowhere"}, "No such file or directory"),
    ],
)
def test_without_it_the_reason_is_known(tmp_path, changes, reason):
    said = in_a_new_process("print(native.library(), native.status())", **environment(tmp_path, **changes))
    assert said.startswith("None ")
    assert reason in said


@compiled
def test_a_source_that_does_not_compile_is_done_without(tmp_path):
    source = tmp_path / "broken.c"
    source.write_text("int f( {")
    code = f"import pathlib; native.SOURCE = pathlib.Path({str(source)!r})\nprint(native.library(), native.status())"
    said = in_a_new_process(code, **environment(tmp_path))
    assert said.startswith("None ")
    assert "error" in said
    assert list((tmp_path / ".cache" / "asyncrl").iterdir()) == []


def frames(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 4, 84, 84), dtype=torch.uint8, generator=generator)


@compiled
@pytest.mark.parametrize("name", ["nips", "nature"])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 8, 13, 40])
def test_a_torso_and_its_gradients_are_torchs(name, count, plain):
    torch.manual_seed(count)
    net = build(name, (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    obs = frames(count)
    weight = torch.randn(count, net.features)
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
    assert any((part[0] == 0).any() for part in results)  # some units are off, some on


@compiled
def test_a_weight_that_is_no_number_is_as_visible_as_in_torch(plain):
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


def test_other_frames_are_left_to_torch():
    net = build("nips", (3, 64, 64), actions=6, continuous=False, policy=False).body.torso
    obs = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    torch.testing.assert_close(net(obs), net.layers(obs.float() / 255))


@compiled
@pytest.mark.parametrize("size", [1, 15, 16, 1_000])
def test_rmsprop_is_torchs(size, plain):
    torch.manual_seed(size)
    rule = RMSProp(shared=True, alpha=0.99, eps=0.1)
    start = torch.randn(size), torch.rand(1, size)
    gradients = torch.randn(5, size)
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


@compiled
@pytest.mark.parametrize("algo", ["a3c", "n-step-q"])
def test_after_a_thousand_updates_the_weights_agree(algo, plain):
    """The same games, as long as no rounding turns one action into another."""
    weights = []
    for switch in (lambda: None, plain):
        switch()
        subject = actor(*prepare(algo=algo, env="pong", network="nips", frames="10M"))
        before = subject.shared.theta.clone()
        for _ in range(1_000):
            subject.update()
        weights.append(subject.shared.theta.clone())
    moved, apart = (weights[1] - before).norm(), (weights[1] - weights[0]).norm()
    assert moved > 0.01
    assert apart < 1e-2 * moved
