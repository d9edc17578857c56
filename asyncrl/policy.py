"""The policy of a checkpoint, for a loop of one's own, deployment and export."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asyncrl.envs.base import Array, Box, MultiDiscrete
from asyncrl.envs.encoding import NotInSpace
from asyncrl.envs.gym import AnyEnv
from asyncrl.envs.single import codec, make_single
from asyncrl.errors import InputError, needs
from asyncrl.networks.distributions import best_of
from asyncrl.networks.flat import bind
from asyncrl.networks.torsos import without_kernels
from asyncrl.rollout import Carry
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store import runs
from asyncrl.training import checkpointing, job_builder, methods
from asyncrl.training.reopening import reopen

ONNX = ("onnx", "onnxruntime", "onnxscript")
TOLERANCE = 1e-4  # between torch and onnxruntime, of outputs


class Decisions(nn.Module):
    """What decides on actions, for a batch of states: a network without the parts that only training needs.

    ``forward(obs, *carry)`` maps ``[N, *O]`` to ``[N, n]``: the action values of a value method, the logarithms of the
    probabilities of a policy, or the mean of a Gaussian policy, ``[N, A]``. The best action is the greatest; a mean is
    an action itself. The logarithms of several actions at once are one after the other, and each has its greatest. A
    network with an LSTM also takes its state and returns the new one: ``(scores, *carry)``.
    """

    def __init__(self, net: nn.Module, is_policy: bool) -> None:
        """Wrap a network out of ``networks.heads``."""
        super().__init__()
        self.net, self._is_policy = net, is_policy

    def initial_carry(self, batch: int) -> Carry:
        """Return the state of the LSTM at the start of an episode, each ``[N, H]``; empty without an LSTM."""
        return self.net.initial_carry(batch)  # type: ignore[operator, no-any-return]

    def forward(self, obs: Tensor, *carry: Tensor) -> Any:
        """See the class."""
        if self._is_policy:
            policy, after = self.net.decide(obs[None], carry)  # type: ignore[operator]
            scores = policy.mean[0] if hasattr(policy, "mean") else policy.log_pi[0]
        else:
            values, after = self.net(obs[None], carry)
            scores = values[0]
        return (scores, *after) if carry else scores


class Policy:
    """Chooses actions for one environment, one step after another, with the weights of a checkpoint.

    Attributes:
        module: the network, see ``Decisions``.
        config: the settings of the run.
        frames: the frames after which the checkpoint was saved.
    """

    def __init__(self, run: Path, checkpoint: str = "best") -> None:
        """Load a checkpoint.

        Args:
            run: the directory of a run.
            checkpoint: ``last``, ``best`` or a step.

        Raises:
            InputError: the run or its environment cannot be opened.
            CheckpointError: there is no such checkpoint, or it is damaged.
        """
        self.config, self._spec = reopen(run, runs.open_document(run))
        saved = checkpoints.load(run, checkpoint, checkpointing.fits(self.config, self._spec))
        self.frames = saved.step * self._spec.frames_per_step
        with torch.random.fork_rng(devices=()):  # building a network draws weights
            net = job_builder.make_network(self.config, self._spec)
        self.module = Decisions(
            bind(without_kernels(net), saved.evaluation_weights.clone()), methods.is_policy_method(self.config)
        )
        self.module.requires_grad_(False)
        self._codec = codec(self.config, self._spec)
        self._learner = job_builder.make_learner(self.config, self._spec, (self.config.evaluation.epsilon,), 0)
        self._step = saved.step
        self._generator = torch.Generator()
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """Forget the episode so far, as at the start of each episode; only a network with an LSTM remembers one.

        Args:
            seed: of the random numbers of ``act``; None: they go on.
        """
        self._carry = self.module.initial_carry(1)
        if seed is not None:
            self._generator.manual_seed(seed)

    def act(self, obs: Any, deterministic: bool = False) -> Any:
        """Return an action for an observation, as ``env.step`` takes it.

        Args:
            obs: one observation, as ``env.reset`` and ``env.step`` return it.
            deterministic: take the best action. Otherwise actions are as in evaluations: sampled from the policy, or
                for value methods random with the probability ``evaluation.epsilon``.

        Raises:
            InputError: the observation is not one of the environment of the run.
        """
        state = torch.from_numpy(np.ascontiguousarray(self._encode(obs)))[None]  # [1, *O]
        with torch.no_grad():
            if deterministic:
                action = self._best(state)
            else:
                action, self._carry, *_ = self._learner.act(
                    self.module.net, state, self._carry, self._step, self._generator
                )
        return self._codec.decode(action[0].numpy())

    def _encode(self, obs: Any) -> Array:
        try:
            return self._codec.encode(obs)
        except NotInSpace as error:
            raise InputError(f"act() got an observation {error}.") from None

    def _best(self, state: Tensor) -> Tensor:
        outputs = self.module(state, *self._carry)
        scores: Tensor = outputs
        if self._carry:
            scores, *after = outputs
            self._carry = tuple(after)
        kind = self._spec.actions
        if isinstance(kind, MultiDiscrete):
            return best_of(scores, kind.sizes)
        return scores if isinstance(kind, Box) else scores.argmax(-1)

    def make_env(self, **options: Any) -> AnyEnv:
        """Build the environment of the run as Gymnasium has it.

        On Atari it is the game under the evaluation protocol, whose observations are four frames ``[4, S, S]`` of
        S = ``atari.frame_size`` pixels.

        Args:
            options: of ``gymnasium.make`` or the factory, such as ``render_mode="human"``, besides the run's
                ``env_args``; Atari and MinAtar take none.
        """
        return make_single(self.config, **options)

    def export(self, path: str | Path) -> Path:
        """Write ``module`` as an ONNX file, compare its outputs with onnxruntime's, and return the path.

        Inputs are ``obs`` ``[N, *O]``, and with an LSTM ``h`` and ``c``, each ``[N, H]``; outputs are ``scores``
        ``[N, n]``, and with an LSTM ``h_out`` and ``c_out``. A separate critic has ``h_critic`` and ``c_critic`` too.

        Raises:
            InputError: the extra ``onnx`` is missing, the file cannot be written, or the outputs differ.
        """
        if missing := [name for name in ONNX if find_spec(name) is None]:
            raise InputError(needs("The export", ", ".join(missing), "onnx"))
        file = Path(path)
        if not file.parent.is_dir():
            raise InputError(f"Cannot write {file}: there is no directory {file.parent}.")
        carry = self.module.initial_carry(2)
        numbers = torch.rand(2, *self._spec.obs_shape, generator=torch.Generator().manual_seed(0))
        obs = (numbers * 255).to(torch.uint8) if self._spec.obs_dtype == "uint8" else numbers
        names = ["obs", *("h", "c", "h_critic", "c_critic")[: len(carry)]]
        batch = torch.export.Dim("batch")
        module = self.module.eval()
        program: Any = torch.onnx.export(
            module,
            (obs, *carry),
            input_names=names,
            output_names=["scores", *(f"{name}_out" for name in names[1:])],
            # *carry is one argument, a tuple
            dynamic_shapes=({0: batch}, *([tuple({0: batch} for _ in carry)] if carry else [])),
            dynamo=True,
            verbose=False,
        )
        try:
            program.save(str(file))
        except OSError as error:
            raise InputError(f"Cannot write {file}: {error.strerror}.") from None
        self._compare(file, dict(zip(names, (obs, *carry), strict=True)))
        return file

    def _compare(self, file: Path, inputs: dict[str, Tensor]) -> None:
        """Raise InputError if onnxruntime computes other outputs than torch."""
        runtime: Any = import_module("onnxruntime")
        session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        found = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        expected = self.module(*inputs.values())
        expected = expected if isinstance(expected, tuple) else (expected,)
        for theirs, ours in zip(found, expected, strict=True):
            if not np.allclose(theirs, ours.numpy(), rtol=TOLERANCE, atol=TOLERANCE):
                raise InputError(f"onnxruntime computes other outputs from {file} than torch.")
