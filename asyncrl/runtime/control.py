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
STOP, PARK = range(2)  # orders to all workers

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Control:
    """Orders and flags of W workers."""

    _rows: Tensor  # [W, 8] int64
    _orders: Tensor  # [2] int64

    @classmethod
    def allocate(cls, workers: int) -> "Control":
        """Put zeros into shared memory."""
        return cls(share(torch.zeros(workers, ROW, dtype=torch.int64)), share(torch.zeros(2, dtype=torch.int64)))

    @staticmethod
    def size(workers: int) -> int:
        """Return how many bytes ``allocate`` will take."""
        return 8 * (ROW * workers + 2)

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

    def park(self, pause: int) -> None:
        """Ask all workers to park after the current rollout; each pause has its own number from 1 on."""
        self._orders.numpy()[PARK] = pause

    def release(self) -> None:
        """Let parked workers continue."""
        self._orders.numpy()[PARK] = 0

    @property
    def pause(self) -> int:
        """Return the number of the pause that is ordered; 0: none."""
        return int(self._orders.numpy()[PARK])

    # Flags, which each worker writes for itself. The parent clears those of a worker that has ended.

    def clear(self, worker: int) -> None:
        """Forget the flags of a worker that has ended: it is neither parked nor in its turn."""
        self._rows.numpy()[worker, [PARKED, TURN_END]] = 0

    def set_parked(self, worker: int, yes: bool) -> None:
        """Show that a worker is parked between two rollouts, its state sent."""
        self._rows.numpy()[worker, PARKED] = yes

    @property
    def parked(self) -> Numbers:
        """Return ``[W]``, 1 where a worker is parked; read-only."""
        return self._column(PARKED)

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
