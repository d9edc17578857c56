"""Planted errors: mistakes that people have made with these algorithms, each of which the tests must catch.

``python -m tests.planted [WORD …]`` plants each error (or those whose name has one of the words) into a copy of the
package, runs the tests named beside it there, and prints which test caught it. Some minutes on two cores.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.planted_errors import ERRORS, Error

ROOT = Path(__file__).parents[1]
AT_ONCE = 2
SECONDS = 240  # for the tests of one error


def mutate(error: Error, package: Path = ROOT / "asyncrl") -> str:
    """Return the file's text with the error in it; raise ValueError where it has nowhere to go."""
    text = (package / error.file).read_text(encoding="utf-8")
    for old, new in error.edits.items():
        if (count := text.count(old)) != 1:
            raise ValueError(f"{error.name}: {old!r} is {count} times in {error.file}, not once")
        text = text.replace(old, new)
    return text


def copy_house(to: Path) -> None:
    """Copy what tests need."""
    for folder in ("asyncrl", "tests"):
        shutil.copytree(ROOT / folder, to / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", to)


def run_tests(house: Path, tests: Iterable[str]) -> tuple[int, str]:
    """Run tests in a house until the first failure; return pytest's exit code and its last words."""
    options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-m"]
    command = [sys.executable, "-m", "pytest", *options, "not planted and not learning and not store"]
    variables = {
        "PYTHONPATH": str(house),
        "XDG_CACHE_HOME": str(house / "cache"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "400",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [*command, *(f"tests/{test}" for test in tests)],
        cwd=house,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def caught_by(error: Error) -> str:
    """Return the test that catches a planted error; raise AssertionError where none does."""
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        house = Path(folder)
        copy_house(house)
        (house / "asyncrl" / error.file).write_text(mutate(error), encoding="utf-8")
        code, said = run_tests(house, error.tests.split())
    failed = re.search(r"^FAILED tests/(\S+?)(\[.*?\])?(?: - (.*))?$", said, re.MULTILINE)
    assert code == 1 and failed, f"{error.name}: not caught by {error.tests} (exit {code})\n{said[-2000:]}"  # noqa: PT018
    is_verdict = (failed[3] or "").startswith(("assert", "Assert", "Failed: DID NOT RAISE"))
    assert is_verdict, f"{error.name}: crashes before it is caught: {failed[3]}"
    return failed[1]


def outcome(error: Error) -> tuple[bool, str]:
    """Return whether an error is caught, and by what."""
    try:
        return True, caught_by(error)
    except (AssertionError, ValueError, subprocess.TimeoutExpired) as miss:
        return False, f"NOT CAUGHT: {miss}"


def main(words: list[str]) -> int:
    """Print a table: error, and the test that caught it."""
    chosen = [error for error in ERRORS if not words or any(word in error.name for word in words)]
    missed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for error, (caught, by) in zip(chosen, pool.map(outcome, chosen), strict=True):
            print(f"{error.name:<66} · {by}", flush=True)
            missed += not caught
    print(f"{len(chosen) - missed} of {len(chosen)} planted errors caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
