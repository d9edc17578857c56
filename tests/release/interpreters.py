"""Finds the interpreters that the package supports, and makes empty virtual environments of them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSIONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))


def find(version: str) -> str | None:
    """Return an interpreter of a version such as ``3.12``; None if none is installed, or it cannot make environments.

    It is searched for on PATH and in pyenv's directory, whose shims on PATH run only selected versions.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    here = [sys.executable] if version == f"{sys.version_info.major}.{sys.version_info.minor}" else []
    on_path = [path for name in (f"python{version}", "python3") if (path := shutil.which(name))]
    return next((path for path in [*here, *on_path, *pyenv_paths(pyenv, version)] if is_usable(path, version)), None)


def pyenv_paths(folder: Path, version: str) -> list[str]:
    """Return the interpreters of a version in pyenv's directory."""
    return [str(path) for path in sorted(folder.glob(f"{version}.*/bin/python{version}"))]


def is_usable(interpreter: str, version: str) -> bool:
    """Return whether an interpreter starts, has the version, and can make virtual environments."""
    code = "import ensurepip, venv, sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, timeout=60)
    except OSError:
        return False
    return done.stdout.strip() == version


def make_environment(interpreter: str, folder: Path) -> Path:
    """Make an empty virtual environment in a folder, and return its directory of programs."""
    subprocess.run([interpreter, "-m", "venv", folder], check=True, timeout=300)
    return folder / "bin"


def clean_variables(bin_folder: Path, home: Path, has_compiler: bool) -> dict[str, str]:
    """Return the variables of a user: nothing of this checkout, a home of their own, and a compiler or none."""
    system = [str(bin_folder), *(["/usr/bin", "/bin"] if has_compiler else [])]
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "LC_", "LANG"))}
    own = {"PATH": os.pathsep.join(system), "HOME": str(home), "OMP_NUM_THREADS": "1"}
    return kept | own
