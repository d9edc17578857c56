"""Tensors in shared memory, and read-only views of them."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Number = TypeVar("Number", bound=np.generic)

ROW = 8  # int64 in a worker's row: one cache line, so that no two workers write to the same


def share(tensor: Tensor) -> Tensor:
    """Move a tensor to shared memory, and return it."""
    return tensor.share_memory_()  # type: ignore[no-any-return, no-untyped-call]


def read_only(array: NDArray[Number]) -> NDArray[Number]:
    """Return a view of an array through which nothing can be written."""
    view = array.view()
    view.flags.writeable = False
    return view
