"""A worker's state for a later session: random numbers, the carry, and the log of its environments."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asyncrl.envs.base import Array
from asyncrl.events import WorkerState
from asyncrl.rollout import Act, Stream
from asyncrl.runtime.action_log import ActionLog, LoggedEnvironments
from asyncrl.runtime.random_streams import Key
from asyncrl.runtime.worker import ActorLearner
from asyncrl.text import traceback_text

CARRIES = "carry.", "planned.carry."


def capture(actor: ActorLearner, environments: LoggedEnvironments, key: Key, steps: int) -> WorkerState:
    """Return a worker's state.

    Args:
        actor: between two rollouts.
        environments: its environments.
        key: of its random streams.
        steps: that it has counted, by which a checkpoint sees whether the state is its last one.
    """
    state: dict[str, Any] = {"torch_rng": _hex(actor.generator.get_state()), "steps": steps}
    # A user's network or environment may draw from torch's global generator.
    state["global_torch_rng"] = _hex(torch.get_rng_state())
    arrays: dict[str, Array] = {}
    if log := environments.log:
        state |= {"key": key, "record": log._asdict()}
        arrays = stream_arrays(actor.stream) | {"actions": state["record"].pop("actions")}
    return WorkerState(worker=actor.worker, state=state, arrays=arrays)


def restore(
    actor: ActorLearner, environments: LoggedEnvironments, saved: WorkerState, beat: Callable[[int], None]
) -> tuple[str, str]:
    """Continue where a worker of an earlier session stopped.

    Returns:
        Why the environments could not be brought back, and a traceback; both empty where they were. Their episodes must
        then start anew; random numbers of actions continue in any case.
    """
    actor.generator.set_state(_bytes(saved.state["torch_rng"]))
    restore_global_generator(saved)
    if "record" not in saved.state:
        return "took more actions than are kept", ""
    log = ActionLog(**saved.state["record"], actions=saved.arrays["actions"])
    try:
        obs = environments.replay(log, beat)
    except Exception as error:
        return "failed as they repeated their actions", traceback_text(error)
    return ("", "") if restore_stream(actor.stream, saved.arrays, obs) else ("did not repeat their observations", "")


def restore_global_generator(saved: WorkerState) -> None:
    """Set torch's global generator to its state when a worker's state was captured."""
    torch.set_rng_state(_bytes(saved.state.get("global_torch_rng", saved.state["torch_rng"])))


def _hex(state: Tensor) -> str:
    return bytes(state.numpy()).hex()


def _bytes(text: str) -> Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)


def stream_arrays(stream: Stream) -> dict[str, Array]:
    """Return what a stream needs besides its environments; its observations are there to be compared."""
    planned = stream.planned
    tensors = {f"carry.{i}": part for i, part in enumerate(stream.carry)}
    if planned is not None:
        tensors |= {f"planned.carry.{i}": part for i, part in enumerate(planned.carry)}
        tensors["planned.action"] = planned.action
        if planned.epsilon is not None:
            tensors["planned.epsilon"] = planned.epsilon
    return {name: tensor.numpy().copy() for name, tensor in (tensors | {"current": stream.current}).items()}


def restore_stream(stream: Stream, arrays: Mapping[str, Array], obs: Array) -> bool:
    """Continue where a stream stopped; return False, and change nothing, if ``[B, *O]`` is not what it saw then."""
    if not np.array_equal(arrays["current"], obs):
        return False
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    carries = [tuple(tensors[key] for key in sorted(tensors) if key.startswith(kind)) for kind in CARRIES]
    stream.current, stream.carry = tensors["current"], carries[0]
    if "planned.action" in tensors:
        stream.planned = Act(tensors["planned.action"], carries[1], tensors.get("planned.epsilon"))
    return True
