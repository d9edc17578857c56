"""The connection to Ray: the extra ``cluster``, imported only where it is asked for."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from asyncrl.errors import InputError, needs, requires_extra, shown
from asyncrl.text import error_text, one_line

ON = re.compile(r"ray(://\[?[\w.:-]+\]?:\d{1,5})?")
OBJECT_STORE_BYTES = 256 << 20  # of a cluster that is started here; weights and archives of runs pass through it


def check_on(on: str) -> None:
    """Raise InputError if a text is no value of ``--on``."""
    if not ON.fullmatch(on):
        raise InputError(f"--on takes ray, or ray://HOST:PORT of a cluster's head; got {shown(on)}.")


def require_ray() -> None:
    """Raise InputError if Ray is not installed."""
    if find_spec("ray") is None:
        raise InputError(needs("This", "ray", "cluster"))


@contextmanager
def connected(on: str) -> Iterator[Any]:
    """Connect to a cluster, and yield the module ``ray``; disconnect at the end.

    Args:
        on: ``ray``: the cluster that ``ray start`` has started on this machine, or RAY_ADDRESS names, else one of this
            machine alone, which ends with the connection; ``ray://HOST:PORT``: another one, through its client server.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address that takes this connection.
    """
    check_on(on)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with requires_extra("cluster"):
        import ray
    if ray.is_initialized():
        yield ray
        return
    try:
        _connect_or_explain(ray, on)
        yield ray
    finally:
        # also after a failure: one of ray:// would leave later connections of this process in the client's mode
        ray.shutdown()


def _connect_or_explain(ray: Any, on: str) -> None:
    try:
        _connect(ray, on)
    # Ray raises many kinds of errors, for a wrong token and another version, too
    except Exception as error:
        reason = one_line(error_text(error))[:300].rstrip(".")
        raise InputError(
            f"Cannot connect to {on}: {reason}. Check the address, and the token (docs/cluster.md)."
        ) from None


def _connect(ray: Any, on: str) -> None:
    quiet = {"log_to_driver": False, "configure_logging": False}
    if on != "ray":
        ray.init(address=on, **quiet)
        return
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError:
        if os.environ.get("RAY_ADDRESS"):
            raise
        ray.init(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
