"""What the parent process asks of workers, and what workers show it, in shared memory without a lock.

Each number has one writer: the parent writes orders, a worker writes its own row.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asyncrl.runtime.shared_memory import ROW, read_only, share

PARKED, TURN_END, CORE, HEARTBEAT = range(4)  # columns of a worker's row
STOP, PAUSE_AT, PAUSE = range(3)  # orders to all workers
NEVER = 2**63 - 1  # steps: no worker comes so far

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Control:
    """Orders and flags of W workers."""

    _rows: Tensor  # [W, 8] int64
    _orders: Tensor  # [3] int64

    @classmethod
    def allocate(cls, workers: int) -> "Control":
        """Put the rows and orders into shared memory; no pause is ordered, and the first one has the number 1."""
        return cls(share(torch.zeros(workers, ROW, dtype=torch.int64)), share(torch.tensor([0, NEVER, 1])))

    @staticmethod
    def size(workers: int) -> int:
        """Return how many bytes ``allocate`` will take."""
        return 8 * (ROW * workers + 3)

    @property
    def workers(self) -> int:
        """Return W."""
        return len(self._rows)

    # Orders, which the parent writes.

    def stop(self) -> None:
        """Ask all workers to end after the current rollout."""
        self._orders.numpy()[STOP] = 1

    @property
    def is_stopping(self) -> bool:
        """Return whether workers are to end."""
        return bool(self._orders.numpy()[STOP])

    def park(self) -> None:
        """Ask all workers to park after the current rollout, whatever T is."""
        self._orders.numpy()[PAUSE_AT] = 0

    def release(self, pause_at: int) -> None:
        """Let parked workers continue, and park again where T has reached ``pause_at`` steps: the next pause."""
        orders = self._orders.numpy()
        orders[PAUSE_AT] = min(pause_at, NEVER)
        orders[PAUSE] += 1

    @property
    def pause_at(self) -> int:
        """Return the T from which on workers park: 0 at once, NEVER not at all."""
        return int(self._orders.numpy()[PAUSE_AT])

    @property
    def pause(self) -> int:
        """Return the number of the present pause, or of the next one where there is none."""
        return int(self._orders.numpy()[PAUSE])

    # Flags, which each worker writes for itself. The parent clears those of a worker that has ended.

    def clear(self, worker: int) -> None:
        """Forget the flags of a worker that has ended: it is neither parked nor in its turn."""
        self._rows.numpy()[worker, [PARKED, TURN_END]] = 0

    def set_parked(self, worker: int, pause: int) -> None:
        """Show in which pause a worker is parked between two rollouts, its state sent; 0: it is not parked."""
        self._rows.numpy()[worker, PARKED] = pause

    def is_parked(self, worker: int) -> bool:
        """Return whether a worker is parked in the present pause."""
        return bool(self._rows.numpy()[worker, PARKED] == self.pause)

    def beat(self, worker: int, number: int) -> None:
        """Show by a new number that a worker lives though it makes no steps; 0 ends this."""
        self._rows.numpy()[worker, HEARTBEAT] = number

    @property
    def heartbeats(self) -> Numbers:
        """Return ``[W]`` numbers that change while a worker restores its environments; read-only."""
        return self._column(HEARTBEAT)

    def set_turn(self, worker: int, nanoseconds: int) -> None:
        """Show when a worker's turn is due to end, or minus when its wait began; 0: neither."""
        self._rows.numpy()[worker, TURN_END] = nanoseconds

    @property
    def turns(self) -> Numbers:
        """Return ``[W]`` as ``set_turn`` wrote them; read-only."""
        return self._column(TURN_END)

    def set_core(self, worker: int, core: int) -> None:
        """Show which core a worker takes its turn on."""
        self._rows.numpy()[worker, CORE] = core

    @property
    def cores(self) -> Numbers:
        """Return ``[W]`` as ``set_core`` wrote them; read-only."""
        return self._column(CORE)

    def _column(self, column: int) -> Numbers:
        return read_only(self._rows.numpy()[:, column])
