"""Compare the results of two checkouts, bit for bit: for changes of structure that must not change any number.

``python -m tests.compare_checkouts OTHER [WORD …]`` trains each case (or those whose name has every word) with one
thread in this checkout and in OTHER, and compares θ, θ⁻, g and the rows of episodes.jsonl without their seconds. It
prints a line for each case, and exits with 1 if any case differs. Nothing is compared with stored values, since they
differ between processors. All cases take about ten minutes on two cores.
"""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch

THIS = Path(__file__).parents[1]
ALGOS = ("one-step-q", "one-step-sarsa", "n-step-q", "a3c", "a2c")
ENVIRONMENTS = {"CartPole-v1": ("mlp", "10k"), "pong": ("nips", "20k")}  # network, frames
TENSORS = ("theta", "target", "optimizer_state")
AT_ONCE = 2
SECONDS = 600  # of one run at most


class Case(NamedTuple):
    """One training run."""

    algo: str
    env: str
    is_recurrent: bool
    is_compiled: bool

    @property
    def name(self) -> str:
        """Return a name such as ``a3c pong nips-lstm compiled``."""
        return f"{self.algo} {self.env} {self.network} {'compiled' if self.is_compiled else 'torch'}"

    @property
    def network(self) -> str:
        """Return the network's name."""
        return ENVIRONMENTS[self.env][0] + ("-lstm" if self.is_recurrent else "")


CASES = [Case(*values) for values in product(ALGOS, ENVIRONMENTS, (False, True), (True, False))]


class Result(NamedTuple):
    """What a run left."""

    tensors: dict[str, torch.Tensor]
    episodes: list[dict[str, object]]


def train(checkout: Path, case: Case) -> Result:
    """Train a case with a checkout's code; raise RuntimeError with its last words where that fails."""
    with tempfile.TemporaryDirectory(prefix="compare-") as results:
        command = [
            *(sys.executable, "-m", "asyncrl", "run", "--algo", case.algo, "--env", case.env),
            *("--network", case.network, "--frames", ENVIRONMENTS[case.env][1], "--threads", "1", "--seed", "7"),
            *("--set", "evaluation.episodes=0", "--results", results, "--name", "run"),
        ]
        variables = {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        if not case.is_compiled:
            variables["ASYNCRL_NATIVE"] = "0"
        done = subprocess.run(
            command,
            cwd=checkout,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{checkout}: exit code {done.returncode}\n{done.stderr[-2000:]}")
        run = Path(results, "run")
        last = max((run / "checkpoints").glob("[0-9]*"))
        tensors = safetensors.torch.load_file(last / "state.safetensors")
        rows = (json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines())
        episodes = [{name: value for name, value in row.items() if name != "seconds"} for row in rows]
    return Result({name: tensors[name] for name in TENSORS}, episodes)


def difference(ours: Result, theirs: Result) -> str:
    """Say in a few words how two results differ; an empty text where they are equal bit for bit."""
    for name in TENSORS:
        one, other = ours.tensors[name], theirs.tensors[name]
        if one.shape != other.shape:
            return f"{name} has shape {tuple(one.shape)}, there {tuple(other.shape)}"
        if not torch.equal(one.view(torch.int32), other.view(torch.int32)):
            return f"{name} differs by up to {(one - other).abs().max():.3g}"
    if ours.episodes != theirs.episodes:
        return f"episodes differ: {len(ours.episodes)} rows, there {len(theirs.episodes)}"
    return ""


def compare(other: Path, case: Case) -> str:
    """Train a case in both checkouts, and say how the results differ."""
    try:
        ours = train(THIS, case)
        if not ours.episodes:
            return "no game ended: nothing can be said of its rows"
        return difference(ours, train(other, case))
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        return str(error)


def main(arguments: list[str]) -> int:
    """Compare every chosen case."""
    if not arguments or not Path(arguments[0], "asyncrl").is_dir():
        print(
            "usage: python -m tests.compare_checkouts OTHER [WORD …]; OTHER is a checkout of asyncrl", file=sys.stderr
        )
        return 2
    other, words = Path(arguments[0]).resolve(), arguments[1:]
    chosen = [case for case in CASES if all(word in case.name.split() for word in words)]
    differing = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for case, how in zip(chosen, pool.map(lambda case: compare(other, case), chosen), strict=True):
            print(f"{case.name:<48} {how or 'equal'}", flush=True)
            differing += bool(how)
    print(f"{len(chosen) - differing} of {len(chosen)} cases are equal")
    return 1 if differing or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
