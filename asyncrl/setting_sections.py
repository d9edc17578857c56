"""The sections of a run's settings, such as ``optimizer.lr``, with their units and sources; ``config`` joins them."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from asyncrl.setting_types import (
    Fraction,
    Fractions,
    Frames,
    OptionalFrames,
    Positive,
    Seconds,
    Section,
    Speeds,
    named,
    parse_none,
)


class Optimizer(Section):
    """The optimizer, from supplement 7 and the authors' e-mails."""

    # or module:Optimizer
    name: Annotated[str, named(("shared-rmsprop", "rmsprop", "momentum", "adam"))] = "shared-rmsprop"
    lr: Positive = 7e-4  # annealed linearly to 0 (Setup B)
    anneal: bool = True
    anneal_frames: OptionalFrames = None  # frames until lr is 0; None: the budget
    alpha: Annotated[float, Field(ge=0, lt=1)] = 0.99  # decay of g, and of the momentum
    eps: Positive = 0.1  # inside the root
    clip: Annotated[Positive | None, BeforeValidator(parse_none)] = 40.0  # norm of the whole gradient; "none": never


class Exploration(Section):
    """Exploration of ε-greedy actor-learners: each draws its own final ε (Setup A)."""

    final: Fractions = (0.1, 0.01, 0.5)
    probability: Fractions = (0.4, 0.3, 0.3)
    anneal_frames: Annotated[Frames, Field(ge=0)] = 4_000_000  # global frames, from ε = 1

    @model_validator(mode="after")
    def _one_probability_each(self) -> "Exploration":
        if len(self.final) != len(self.probability) or abs(sum(self.probability) - 1) > 1e-6:
            raise ValueError("final and probability need one entry each, the probabilities summing to 1")
        return self


class Evaluation(Section):
    """Evaluation of a snapshot by whole episodes with unclipped rewards, while training is paused."""

    every: OptionalFrames = None  # frames; None: a tenth of the run
    episodes: Annotated[int, Field(ge=0, le=100_000)] = 10  # 0: never evaluate
    epsilon: Fraction = 0.01  # of value methods; a policy samples its actions


class Checkpoints(Section):
    """When checkpoints are saved, besides the one at the end of training."""

    # frames; None: a tenth of the run, and a fiftieth in simulated time, where a checkpoint is a barrier
    every: OptionalFrames = None
    keep: Annotated[int, Field(ge=2, le=10_000)] = 3  # the newest checkpoints, besides the best one
    patience_seconds: Seconds = 600.0  # of failed checkpoints, as on a full disk, before the run fails


class Workers(Section):
    """How worker processes share cores, and when those that fail or hang are replaced."""

    # auto: where there are more workers than cores, and each steps one environment; on: also where each steps several
    turns: Literal["auto", "on", "off"] = "auto"
    restarts: Annotated[int, Field(ge=0, le=1_000_000)] = 10  # of one worker within ten minutes; one more ends the run
    # without a rollout, or the usual time of 50 rollouts if that is longer; five times as long for a process's first
    # rollout, which includes its start, and for a step of an evaluation
    hang_seconds: Seconds = 60.0


class Atari(Section):
    """The Atari protocol; other environments ignore it."""

    protocol: Literal["paper", "sticky"] = "paper"
    noops: Annotated[int, Field(ge=0, le=100_000)] = 30  # the maximum at the start of an episode
    max_frames: Annotated[Frames, Field(gt=0, le=10**9)] = 108_000  # half an hour; a longer episode is truncated
    frame_size: Literal[84, 42] = 84  # height and width of observations, pixels


class Cluster(Section):
    """Training on several machines, or on several simulated ones; a run of one machine ignores all but ``nodes``."""

    nodes: Annotated[int, Field(ge=1, le=1024)] = 1  # each has as many actor-learners as ``threads``
    # updates of a node between two pushes of its gradients; 1: each actor-learner waits for the answer
    push_every: Annotated[int, Field(ge=1, le=100_000)] = 16
    max_staleness: Annotated[int, Field(ge=0, le=1_000_000)] = 100  # updates; staler gradients are dropped
    shards: Annotated[int, Field(ge=1, le=64)] = 1  # parts of the weights, each on a server of its own


class Simulated(Section):
    """Simulated time; a run by the wall clock ignores it."""

    costs: str = "default"  # of phases: the package's, a file of costs, or measure: of this machine, before the run
    jitter: Annotated[float, Field(ge=0, le=5)] = 0.1  # σ of the logarithm of a phase's cost; 0: workers in lock step
    cores: Annotated[Annotated[int, Field(ge=1, le=1024)] | None, BeforeValidator(parse_none)] = None  # None: ideal
    policy: Literal["turns", "phases"] = "turns"  # which worker gets a core, where there are fewer cores than workers
    delay: Annotated[int, Field(ge=0, le=1000)] = 0  # updates between a gradient and its application
    delays: Literal["fixed", "drawn"] = "fixed"  # drawn: uniformly from 0 to twice the delay
    speeds: Speeds = (1.0,)  # of the workers in turn
    efficiency: Annotated[float, Field(gt=0, le=1)] = 0.8  # of A2C's cores, as they act and learn together
    # for which a message between a node and the parameter server is under way, besides its time on the server's link
    network_delay_ms: Annotated[float, Field(ge=0, le=1e6)] = 0.1
    # of the server's link, each way, in gigabits per second; None: messages take no time on it
    network_gbps: Annotated[Annotated[float, Field(ge=1e-3, le=1e6)] | None, BeforeValidator(parse_none)] = 10.0
