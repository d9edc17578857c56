"""The paper's loops, written out literally: the oracle that every learner's gradient must equal.

One environment, one state at a time, one term of dθ at a time. Nothing is imported from asyncrl; of a network only the
layers are used, never its forward pass. Nothing here is efficient, and nothing here is clever.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Path(NamedTuple):
    """What one environment went through between two updates: s_0, a_0, r_0, s_1, a_1, …"""

    s: list[Tensor]  # one more than there are steps; the last is only looked ahead to
    a: list[Tensor]
    r: list[float]
    terminal: list[bool]  # whether step i ended its episode; s[i + 1] is then the first state of the next
    a_after: Tensor  # the action that is chosen in the last state
    carry: tuple[Tensor, ...]  # (h, c) of each LSTM before s_0, each [1, H]; () without


class Eye:
    """A network's body: it sees one state after the other, and remembers (h, c)."""

    def __init__(self, body: nn.Module, carry: tuple[Tensor, ...]) -> None:
        self.body, self.carry = body, carry

    def see(self, s: Tensor) -> Tensor:
        x = s[None]  # [1, *O]
        if x.dtype == torch.uint8:
            x = x / 255
        x = self.body.torso.layers(x)  # [1, F]
        if self.carry:
            self.carry = self.body.lstm(x, self.carry)
            x = self.carry[0]
        return x[0]  # [F]

    def forget(self) -> None:
        self.carry = tuple(torch.zeros_like(part) for part in self.carry)


def algorithm_1_q(path: Path, net: nn.Module, target: nn.Module, γ: float) -> Tensor:
    """Asynchronous one-step Q-learning: dθ over the steps of one environment."""
    dθ = zeros(net)
    θ, θ_target = Eye(net.body, path.carry), Eye(target.body, path.carry)
    for i in range(len(path.a)):
        s, a, r, s_next = path.s[i], path.a[i], path.r[i], path.s[i + 1]
        Q = net.q(θ.see(s))
        θ_target.see(s)
        if path.terminal[i]:
            y = r
        else:
            Q_next = target.q(Eye(target.body, θ_target.carry).see(s_next)).tolist()
            y = r + γ * max(Q_next)
        dθ += gradient((y - Q[a]) ** 2, net)
        if path.terminal[i]:
            θ.forget()
            θ_target.forget()
    return dθ


def algorithm_1_sarsa(path: Path, net: nn.Module, target: nn.Module, γ: float) -> Tensor:
    """Asynchronous one-step Sarsa: dθ over the steps of one environment."""
    dθ = zeros(net)
    θ, θ_target = Eye(net.body, path.carry), Eye(target.body, path.carry)
    for i in range(len(path.a)):
        s, a, r, s_next = path.s[i], path.a[i], path.r[i], path.s[i + 1]
        a_next = path.a[i + 1] if i + 1 < len(path.a) else path.a_after
        Q = net.q(θ.see(s))
        θ_target.see(s)
        if path.terminal[i]:
            y = r
        else:
            Q_next = target.q(Eye(target.body, θ_target.carry).see(s_next)).tolist()
            y = r + γ * Q_next[a_next]
        dθ += gradient((y - Q[a]) ** 2, net)
        if path.terminal[i]:
            θ.forget()
            θ_target.forget()
    return dθ


def algorithm_s2(path: Path, net: nn.Module, target: nn.Module, γ: float) -> Tensor:
    """Asynchronous n-step Q-learning: dθ over the steps of one environment, from each terminal state afresh."""
    dθ = zeros(net)
    θ = Eye(net.body, path.carry)
    t = 0
    while t < len(path.a):
        t_start, Q = t, {}
        while True:  # repeat
            Q[t] = net.q(θ.see(path.s[t]))
            t += 1
            if path.terminal[t - 1] or t == len(path.a):  # until
                break
        R = 0.0
        if not path.terminal[t - 1]:
            R = max(target.q(Eye(target.body, θ.carry).see(path.s[t])).tolist())
        for i in range(t - 1, t_start - 1, -1):
            R = path.r[i] + γ * R
            dθ += gradient((R - Q[i][path.a[i]]) ** 2, net)
        if path.terminal[t - 1]:
            θ.forget()
    return dθ


def algorithm_s3(path: Path, net: nn.Module, γ: float, β: float, value_weight: float) -> Tensor:
    """A3C: dθ over the steps of one environment, from each terminal state afresh; descending, so gains are negative."""
    dθ = zeros(net)
    eyes = [Eye(body, path.carry[2 * k : 2 * k + 2]) for k, body in enumerate(bodies(net))]
    t = 0
    while t < len(path.a):
        t_start, log_π, H, V = t, {}, {}, {}
        while True:  # repeat
            seen = [eye.see(path.s[t]) for eye in eyes]  # by one body, or by the policy's own and the value's own
            log_π[t], H[t] = policy(net.policy, seen[0], path.a[t])
            V[t] = net.value(seen[-1])[0]
            t += 1
            if path.terminal[t - 1] or t == len(path.a):  # until
                break
        R = 0.0
        if not path.terminal[t - 1]:
            R = net.value(Eye(eyes[-1].body, eyes[-1].carry).see(path.s[t])).item()
        for i in range(t - 1, t_start - 1, -1):
            R = path.r[i] + γ * R
            dθ -= gradient(log_π[i], net) * (R - V[i].item())
            dθ -= gradient(H[i], net) * β
            dθ += gradient((R - V[i]) ** 2, net) * 0.5 * value_weight
        if path.terminal[t - 1]:
            for eye in eyes:
                eye.forget()
    return dθ


class Tape(NamedTuple):
    """What one actor-learner's only environment went through in a whole run."""

    s: list[Tensor]  # one more than there are steps
    a: list[Tensor]
    r: list[float]
    terminal: list[bool]


def whole_run(
    loop: Callable[[Path, nn.Module, nn.Module], Tensor],
    tapes: list[Tape],
    net: nn.Module,
    target: nn.Module,
    *,
    t_max: int,
    I_target: int,
    T_max: int,
    η: float,
    α: float,
    ε: float,
    clip: float,
    one_g: bool,
) -> int:
    """Repeat what actor-learners did one after the other, rollout by rollout; leave θ and θ⁻ in the networks.

    Each update is RMSProp's, its rate annealed over the run. Returns T.
    """
    threads = range(len(tapes))
    θ, shared_g = flat(net), zeros(net)
    g = [shared_g if one_g else zeros(net) for _ in threads]
    carry = [forgotten(net) for _ in threads]
    t = [0 for _ in threads]
    T = 0
    while T < T_max:
        for k in threads:
            s, a, r, terminal = tapes[k]
            t_start, T_start = t[k], T
            while True:  # repeat
                t[k] += 1
                T += 1
                if terminal[t[k] - 1] or t[k] - t_start == t_max:  # until
                    break
            now = slice(t_start, t[k])
            path = Path(s[t_start : t[k] + 1], a[now], r[now], terminal[now], a[t[k]], carry[k])
            dθ = loop(path, net, target)
            carry[k] = remember(net, carry[k], path.s[:-1], path.terminal)
            if dθ.norm() > clip:
                dθ *= clip / dθ.norm()
            g[k] *= α
            g[k] += (1 - α) * dθ**2
            θ -= η * max(0.0, 1 - T_start / T_max) * dθ / (g[k] + ε).sqrt()
            load(net, θ)
            if any(step % I_target == 0 for step in range(T_start + 1, T + 1)):
                load(target, θ)
    return T


def policy(head: nn.Module, x: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """Return log π(a|s) and H(π(s)) from their formulas."""
    if hasattr(head, "logits"):
        e = head.logits(x).exp()  # [n]
        π = e / e.sum()
        return π[a].log(), -(π * π.log()).sum()
    μ, σ2 = head.mean(x), (1 + head.variance(x).exp()).log()  # [A], [1]
    log_density = -((a - μ) ** 2) / (2 * σ2) - (2 * math.pi * σ2).log() / 2  # [A]
    entropy = ((2 * math.pi * σ2).log() + 1) / 2  # of one direction
    return log_density.sum(), entropy[0] * len(μ)


def bodies(net: nn.Module) -> list[nn.Module]:
    return [net.body] if hasattr(net, "body") else [net.actor, net.critic]


def forgotten(net: nn.Module) -> tuple[Tensor, ...]:
    """Return the carry that an episode starts with."""
    return tuple(torch.zeros(1, body.features) for body in bodies(net) if body.lstm for _ in "hc")


@torch.no_grad()
def remember(net: nn.Module, carry: tuple[Tensor, ...], s: list[Tensor], terminal: list[bool]) -> tuple[Tensor, ...]:
    """Return the carry after some states."""
    after: tuple[Tensor, ...] = ()
    for k, body in enumerate(bodies(net)):
        eye = Eye(body, carry[2 * k : 2 * k + 2])
        for state, over in zip(s, terminal, strict=True):
            eye.see(state)
            if over:
                eye.forget()
        after += eye.carry
    return after


def flat(net: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


def load(net: nn.Module, θ: Tensor) -> None:
    nn.utils.vector_to_parameters(θ.clone(), net.parameters())


def zeros(net: nn.Module) -> Tensor:
    return torch.zeros_like(flat(net))


def gradient(what: Tensor, net: nn.Module) -> Tensor:
    """Return ∂what/∂θ as one vector."""
    parameters = list(net.parameters())
    parts = torch.autograd.grad(what, parameters, retain_graph=True, allow_unused=True)
    return torch.cat(
        [torch.zeros_like(p).flatten() if g is None else g.flatten() for p, g in zip(parameters, parts, strict=True)]
    )
