"""What the tensors, counters and worker states of one run's checkpoints are: a checkpoint is compared with it once.

The digests of a checkpoint find changed bits. This finds contents that another program wrote with correct digests.
"""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from asyncrl.store.checkpoint import Checkpoint

COUNTERS = "counters"  # the tensor of each worker's steps and updates
LARGEST_COUNT = 2**62

Count = Annotated[int, Field(ge=0, lt=LARGEST_COUNT)]
Word = Annotated[int, Field(ge=0, lt=2**32)]  # of a spawn key


class Strict(BaseModel):
    """Converts no value to another type, and ignores unknown fields."""

    model_config = ConfigDict(frozen=True, strict=True)


M = TypeVar("M", bound=Strict)


class Counts(Strict):
    """The columns of a checkpoint that every row has, too."""

    frames: Count
    steps: Count
    updates: Count
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Health(Strict):
    """Counts of what went wrong."""

    skipped: Count = 0
    restarts: Count = 0


class Record(Strict):
    """The seeds of B environments; see ``runtime.action_log.ActionLog``."""

    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]]
    resets: list[Word]
    starts: list[Count]


class Virtual(Strict):
    """A worker's virtual time; see ``runtime.simulated_worker``."""

    time: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    random: Annotated[list[Annotated[str, Field(pattern="^[0-9a-f]{1,32}$")]], Field(min_length=2, max_length=2)]
    pushes: Count
    pending: list[Annotated[list[Count], Field(min_length=3, max_length=3)]]


class State(Strict):
    """A worker's state without its arrays; see ``runtime.worker_state``."""

    steps: Count
    torch_rng: str
    global_torch_rng: str | None = None
    key: Annotated[list[Word], Field(min_length=2, max_length=3)] | None = None
    record: Record | None = None
    virtual: Virtual | None = None


class Kind(NamedTuple):
    """Type and shape of a tensor."""

    dtype: torch.dtype
    shape: tuple[int | None, ...]  # None: any length

    def check(self, name: str, tensor: Tensor) -> None:
        """Raise ValueError where a tensor is of another kind, or has numbers that are not finite."""
        lengths = zip(tensor.shape, self.shape, strict=False)
        fits = tensor.ndim == len(self.shape) and all(there == own or own is None for there, own in lengths)
        if tensor.dtype != self.dtype or not fits:
            found, own = (_text(kind.dtype, kind.shape) for kind in (tensor, self))
            raise ValueError(f"{name} is {found}, but this run has {own}")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{name} has numbers that are not finite")


class Layout(NamedTuple):
    """The kinds of all tensors of a run's checkpoints, and the numbers of its workers and environments."""

    vectors: dict[str, Kind]  # θ, θ⁻, g, the average if there is one
    workers: int  # W
    envs: int  # B of one worker
    current: Kind  # [B, *O]  observations
    logged: Kind  # [n, B] or [n, B, A]  actions of the log
    planned: Kind  # [B] or [B, A]
    choices: tuple[int, ...]  # of how many actions each number of one is; empty: actions are continuous
    carry: tuple[Kind, ...]
    is_simulated: bool = False

    def check(self, checkpoint: Checkpoint) -> None:
        """Raise ValueError, with the first difference, where a checkpoint is not of this run."""
        tensors = dict(checkpoint.tensors)
        for name, kind in (self.vectors | {COUNTERS: Kind(torch.int64, (self.workers, None))}).items():
            if name not in tensors:
                raise ValueError(f"{name} is missing")
            kind.check(name, tensors.pop(name))
        steps = self._check_counts(checkpoint)
        if len(checkpoint.workers) != self.workers:
            raise ValueError(f"it has states of {len(checkpoint.workers)} workers, but this run has {self.workers}")
        for i, state in enumerate(checkpoint.workers):
            prefix = f"worker.{i}."
            arrays = {name: tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}
            own = {name.removeprefix(prefix): array for name, array in arrays.items()}
            try:
                self._check_worker(_model(State, state) if state else None, own, steps[i])
            except ValueError as error:
                raise ValueError(f"in the state of worker {i}, {error}") from None
        _refuse_others(tensors)

    def _check_counts(self, checkpoint: Checkpoint) -> list[int]:
        """Return the steps of each worker."""
        counters: list[list[int]] = checkpoint.tensors[COUNTERS].tolist()
        if any(len(row) < 2 or not all(0 <= count < LARGEST_COUNT for count in row[:2]) for row in counters):
            raise ValueError("counters has numbers that no worker can count")
        steps = [row[0] for row in counters]
        meta = checkpoint.meta
        counts = _model(Counts, meta.get("counts"))
        _model(Health, meta.get("health", {}))
        for name, value in (("the sum of its counters", sum(steps)), ("the number of its counts", counts.steps)):
            if value != checkpoint.step:
                raise ValueError(f"it is of step {checkpoint.step}, but {name} is {value}")
        return steps

    def _check_worker(self, state: State | None, arrays: dict[str, Tensor], steps: int) -> None:
        if state is not None:
            if state.steps != steps:
                raise ValueError(f"there are {state.steps} steps, but its counter is {steps}")
            if self.is_simulated != (state.virtual is not None):
                raise ValueError("its virtual time is missing" if self.is_simulated else "it has a virtual time")
            if state.virtual is not None and state.virtual.pending:
                pending = Kind(torch.float32, (len(state.virtual.pending), *self.vectors["theta"].shape))
                pending.check("pending", arrays.pop("pending", torch.empty(0)))
            for name in ("torch_rng", "global_torch_rng"):
                _check_generator(name, getattr(state, name))
            if state.record is not None:
                self._check_arrays(arrays)
                self._check_record(state.record, len(arrays.pop("actions")))
                arrays = {}
        _refuse_others(arrays)

    def _check_arrays(self, arrays: dict[str, Tensor]) -> None:
        kinds = {"current": self.current, "actions": self.logged}
        kinds |= {f"carry.{i}": kind for i, kind in enumerate(self.carry)}
        if "planned.action" in arrays:
            kinds |= {"planned.action": self.planned}
            kinds |= {f"planned.carry.{i}": kind for i, kind in enumerate(self.carry)}
        if "planned.epsilon" in arrays and "planned.action" in arrays:
            one = arrays["planned.epsilon"].shape == (1,)
            kinds |= {"planned.epsilon": Kind(torch.float32, (1 if one else self.envs,))}
        for name, kind in kinds.items():
            if name not in arrays:
                raise ValueError(f"{name} is missing")
            kind.check(name, arrays[name])
        _refuse_others({name: array for name, array in arrays.items() if name not in kinds})
        for name in ("actions", "planned.action") if self.choices else ():
            taken = arrays[name].numpy().reshape(-1, len(self.choices)) if name in arrays else np.empty((0, 1))
            if (taken < 0).any() or (taken >= self.choices).any():
                raise ValueError(f"{name} has actions that this run's environment does not have")

    def _check_record(self, record: Record, rows: int) -> None:
        for name, numbers in record:
            if len(numbers) != self.envs:
                raise ValueError(f"{name} has {len(numbers)} numbers, but there are {self.envs} environments")
        if max(record.starts, default=0) > rows:
            raise ValueError("starts has rows beyond the last action")


def _model(model: type[M], value: object) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or model.__name__.lower()
        raise ValueError(f"{place}: {first['msg']}") from None


def _check_generator(name: str, text: str | None) -> None:
    if text is None:
        return
    try:
        torch.Generator().set_state(torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8))
    except (ValueError, TypeError, RuntimeError):
        raise ValueError(f"{name} is no state of a random number generator") from None


def _refuse_others(tensors: Mapping[str, Any]) -> None:
    if tensors:
        raise ValueError(f"there is a tensor {next(iter(tensors))!a:.60} that this run does not have")


def _text(dtype: torch.dtype, shape: tuple[int | None, ...]) -> str:
    lengths = ", ".join("n" if length is None else str(length) for length in shape)
    return f"{str(dtype).removeprefix('torch.')} [{lengths}]"
