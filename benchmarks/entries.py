"""The methods and libraries that ``benchmarks.time_to_score`` compares, with their settings."""

from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.pfrl_training import train_pfrl
from benchmarks.sb3_training import ENVS, train_sb3
from benchmarks.stepping import Observer

WORKERS = 2  # of asyncrl and PFRL


class Library(NamedTuple):
    """How another library trains."""

    package: str
    program: str  # of benchmarks.peers
    size: int  # environments or processes
    train: Callable[[int, str, Observer], None]


class Entry(NamedTuple):
    """What is compared."""

    label: str
    budget: int  # frames
    method: dict[str, Any] | Library  # settings of asyncrl, or another library

    def command(self, env: str) -> tuple[str, ...]:
        """Return the arguments of benchmarks.peers that measure its speed."""
        if isinstance(self.method, Library):
            return self.method.program, str(self.method.size), env
        pairs = {"env": env, **self.method}.items()
        words = [("--set", f"{name}={value}") if "." in name else (f"--{name}", str(value)) for name, value in pairs]
        return ("asyncrl", *(word for pair in words for word in pair))


FAST = {"preset": "fast", "threads": WORKERS}
PAPER = {"preset": "paper", "threads": WORKERS, "optimizer.anneal_frames": "320M"}  # the paper's horizon
ENTRIES = {
    # its rate is annealed to 0 over this budget
    "n-step-q-fast": Entry("asyncrl n-step Q, fast", 12_000_000, {"algo": "n-step-q", **FAST}),
    "a3c-fast": Entry("asyncrl A3C, fast", 20_000_000, {"algo": "a3c", **FAST}),
    "a3c-paper": Entry("asyncrl A3C, paper", 64_000_000, {"algo": "a3c", **PAPER}),
    "sb3-a2c": Entry("Stable-Baselines3 A2C", 40_000_000, Library("stable_baselines3", "sb3", ENVS, train_sb3)),
    "pfrl-a3c": Entry("PFRL A3C", 64_000_000, Library("pfrl", "pfrl", WORKERS, train_pfrl)),
}
REFERENCE = "sb3-a2c"
