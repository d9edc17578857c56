"""Measures what each trick of the compiled kernels gains: ``python -m benchmarks.kernels``.

Each trick is taken out of a copy of the package, by a change of its text, and updates of this version are compared
with those of the copy (``benchmarks.updates``), on Pong with one and with eight environments. What RMSProp gains
where several cores write to the same parameters is not seen so: compare a copy in pairs of whole runs
(``benchmarks.pairs``).
"""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from benchmarks.speed import ROOT, machine
from benchmarks.updates import compare, heading, row

NATIVE, TORSO = "kernels/native.c", "kernels/torso.py"


class Trick(NamedTuple):
    """A trick, and the changes of a file that take it out."""

    name: str
    file: str  # in the package
    changes: dict[str, str]  # each text occurs once


TRICKS = (
    Trick("the whole library", "kernels/native.py", {"return _load_once()[0]": "return None"}),
    Trick("RMSProp compiled", "optim.py", {"(library := native.load())": "(library := None)"}),
    Trick(
        "RMSProp: lines of θ without gradient are left alone",
        NATIVE,
        {
            "&& !is_zero(grad + later, CACHE_LINE)": "",
            "if (is_zero(grad + start, end - start)) {": "if (0) {",
        },
    ),
    Trick(
        "RMSProp: lines are prefetched",
        NATIVE,
        {
            "__builtin_prefetch(g + later, 1);": "",
            "__builtin_prefetch(theta + later, 1);": ";",
        },
    ),
    Trick(
        "activations of acting serve the loss",
        TORSO,
        {"known = cached.lookup(obs) if cached else None": "known = None"},
    ),
    Trick("forward: unchanged pixels", NATIVE, {"const int reusable = rows_per_step ?": "const int reusable = 0 ?"}),
    Trick("backward: unchanged pixels", NATIVE, {"if (rows_per_step && (size_t)n >= rows_per_step)": "if (0)"}),
    Trick(
        "forward: zero inputs of the hidden layer", NATIVE, {"used[i] = used[i] || !is_zero": "used[i] = 1 || !is_zero"}
    ),
    Trick("forward: the hidden layer's weights are prefetched", NATIVE, {"if (rows == ROW_TILE) __b": "if (0) __b"}),
    Trick("backward: hidden units without gradient", NATIVE, {"is_active |= grad[": "is_active |= 1 || grad["}),
    Trick(
        "backward: positions without gradient",
        NATIVE,
        {"positions->count += !is_zero": "positions->count += 1 || !is_zero"},
    ),
    Trick("backward: gradients are added in place", TORSO, {"in_place = all(": "in_place = False and all("}),
    Trick("huge pages", "runtime/spawn.py", {'"THP_MEM_ALLOC_ENABLE": "1"': '"THP_MEM_ALLOC_ENABLE": "0"'}),
)


def copy_without(trick: Trick, folder: Path) -> Path:
    """Write a copy of the package without a trick, and return the folder.

    Raises:
        ValueError: a text to be changed is not there once.
    """
    package = folder / "asyncrl"
    shutil.copytree(ROOT / "asyncrl", package, ignore=shutil.ignore_patterns("__pycache__"))
    text = (package / trick.file).read_text()
    for old, new in trick.changes.items():
        if text.count(old) != 1:
            raise ValueError(f"{trick.name}: {trick.file} has {old!r} {text.count(old)} times")
        text = text.replace(old, new)
    (package / trick.file).write_text(text)
    return folder


def main(
    only: Annotated[str, typer.Option(help="part of the names of tricks")] = "",
    network: Annotated[str, typer.Option(help="nips or nature")] = "nips",
    pairs: Annotated[int, typer.Option(help="of turns", min=2)] = 20,
) -> None:
    """Print how many times as fast updates are with each trick as without it."""
    about = machine()
    print(f"{about['cpu']}, {about['usable_cores']} cores, commit {about['commit']}; {network}, {pairs} pairs\n")
    print(heading("trick"))
    for trick in TRICKS:
        if only not in trick.name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = compare(ROOT, copy_without(trick, Path(folder)), "pong", network, pairs)
            print(row(trick.name, found), flush=True)


if __name__ == "__main__":
    typer.run(main)
