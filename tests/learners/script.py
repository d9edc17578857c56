"""Scripted experience: a script replayed through the real Stream, and the same script as the oracle reads it."""

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from asyncrl.envs.base import Box, Discrete, Spec, Step
from asyncrl.networks.factory import build
from asyncrl.networks.heads import ActionValues, GaussianHead, SeparateActorCritic, SharedActorCritic, SoftmaxHead
from asyncrl.networks.torsos import Body, Vectors
from asyncrl.rollout import Act, Rollout, Stream
from tests.pseudocode import Path, forgotten, remember

GAMMA = 0.9
ACTIONS = 3  # how many, or the size of a continuous one
SHAPES = {"mlp": (4,), "nips": (4, 84, 84)}


def make(network: str, *, policy: bool, continuous: bool = False, seed: int = 0) -> nn.Module:
    """Return a network; those for vectors are narrow, for speed."""
    torch.manual_seed(seed)
    if network in ("nips", "nips-lstm"):
        return build(network, SHAPES["nips"], actions=ACTIONS, continuous=continuous, policy=policy)
    body, other = (Body(Vectors(SHAPES["mlp"], 9), 7 if network == "mlp-lstm" else 0) for _ in range(2))
    if not policy:
        return ActionValues(body, ACTIONS)
    if continuous:
        return SeparateActorCritic(body, other, GaussianHead(body.features, ACTIONS))
    return SharedActorCritic(body, SoftmaxHead(body.features, ACTIONS))


class Script(NamedTuple):
    """Two rollouts' worth of steps of B environments; an episode ends where ``ends`` says so."""

    first: Tensor  # [B, *O]
    obs: Tensor  # [2T, B, *O]  to act on next
    reached: Tensor  # [2T, B, *O]  the last state of an episode that was truncated
    reward: Tensor  # [2T, B]
    terminated: Tensor  # [2T, B] bool
    truncated: Tensor  # [2T, B] bool
    continuous: bool

    def choose(self, obs: Tensor) -> Tensor:
        """Return ``[B]`` or ``[B, A]``: whatever an observation tells us to do."""
        mix = obs.flatten(1).to(torch.get_default_dtype()).cumsum(-1)  # [B, n]
        return mix[:, :ACTIONS].cos() if self.continuous else (mix[:, -1] * 100).long().remainder(ACTIONS)


def write(network: str, steps: int, batch: int, ending: str, *, continuous: bool = False, seed: int = 0) -> Script:
    """Write a script whose second rollout ends as told in environment 0, and has ends inside in the others.

    Endings are ``running``, ``terminal``, ``truncated``, and ``cut``: truncated at both rollouts' ends, before t_max.
    """
    rng = torch.Generator().manual_seed(seed)
    shape = SHAPES[network.partition("-")[0]]
    count = 2 * steps

    def states(*size: int) -> Tensor:
        if len(shape) == 3:
            return torch.randint(256, (*size, batch, *shape), generator=rng, dtype=torch.uint8)
        return torch.randn(*size, batch, *shape, generator=rng)

    terminated, truncated = torch.zeros(2, count, batch).bool()
    terminated[-1, 0], truncated[-1, 0] = ending == "terminal", ending in ("truncated", "cut")
    truncated[steps - 1, 0] = ending == "cut"
    if batch > 1:
        terminated[steps - 1, 1] = True  # just before the second rollout
        terminated[steps + steps // 2 - 1, 1] = True
        terminated[steps, 2] = terminated[-2, 2] = steps > 2
    reward = torch.randn(count, batch, generator=rng)
    return Script(states(), states(count), states(count), reward, terminated, truncated, continuous)


class Replay:
    """Environments that say what is in the script, whatever is done."""

    def __init__(self, script: Script) -> None:
        self.script, self.num_envs, self.t = script, len(script.first), 0
        kind = Box(ACTIONS) if script.continuous else Discrete(ACTIONS)
        self.spec = Spec(tuple(script.first.shape[1:]), str(script.first.dtype).removeprefix("torch."), kind, 1)

    def reset(self, seeds) -> np.ndarray:
        return self.script.first.numpy()

    def step(self, action) -> Step:
        script, t = self.script, self.t
        self.t += 1
        assert t < len(script.obs), "a rollout goes on where it should have been cut"
        cut = script.truncated[t].view(-1, *[1] * (script.obs.dim() - 2))
        successor = torch.where(cut, script.reached[t], script.obs[t])
        said = (script.obs[t], script.reward[t], script.terminated[t], script.truncated[t], successor)
        return Step(*(part.numpy() for part in said), episodes=())

    def close(self) -> None:
        pass


def finish(phases: Generator) -> Any:
    """Drive a generator of phases to its end, and return its result."""
    while True:
        try:
            next(phases)
        except StopIteration as done:
            return done.value


def collect(script: Script, net: nn.Module, looks_ahead: bool) -> Rollout:
    """Return the script's second rollout, as the runtime's stream collects it."""
    steps = len(script.obs) // 2
    t_max = steps + 2 if script.truncated[steps - 1].any() else steps
    environments = Replay(script)
    fresh = net.initial_carry(environments.num_envs)
    stream = Stream(environments, [0] * environments.num_envs, t_max, GAMMA, fresh, looks_ahead)

    def act(obs: Tensor, carry):
        return Act(script.choose(obs), net(obs[None], carry)[1])

    finish(stream.collect(torch.no_grad()(act)))
    return finish(stream.collect(torch.no_grad()(act)))[0]


def read(script: Script, net: nn.Module) -> list[Path]:
    """Return the second rollout as the oracle reads it, one path an environment."""
    steps = len(script.obs) // 2
    paths = []
    for b in range(len(script.first)):
        s = [script.first[b], *script.obs[:, b]]
        if script.truncated[-1, b]:
            s[-1] = script.reached[-1, b]
        a = [script.choose(state[None])[0] for state in s]
        terminal = script.terminated[:, b].tolist()
        second = slice(steps, 2 * steps)
        ended = (script.terminated | script.truncated)[:steps, b].tolist()
        carry = remember(net, forgotten(net), s[:steps], ended)
        reward = script.reward[second, b].tolist()
        paths.append(Path(s[steps:], a[second], reward, terminal[second], a[-1], carry))
    return paths
