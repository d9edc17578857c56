"""The wheel and the sdist: what they hold, and whether the wheel works in empty environments and directories."""

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.release import interpreters
from tests.release.interpreters import PROJECT, ROOT, VERSIONS

pytestmark = [pytest.mark.release, pytest.mark.timeout(3_600)]

RATES = """
[sweep]
seeds = 2
[base]
env = "CartPole-v1"
algo = "n-step-q"
threads = 1
frames = 500
[base.evaluation]
episodes = 1
"""
PLAY = """
import asyncrl
policy = asyncrl.load("cart", "last")
env = policy.make_env()
obs, _ = env.reset(seed=1)
env.step(policy.act(obs))
assert len(asyncrl.runs().runs) >= 2
print(asyncrl.__version__, asyncrl.__file__)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the wheel and the sdist: the command of ``make dist`` builds the wheel from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def files(folder):
    """Return the files below a folder of the checkout, without those that Python makes."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(ROOT)) for path in found}


def test_wheel_holds_the_package_and_the_sweeps_and_nothing_else(built):
    with zipfile.ZipFile(built[0]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == files("asyncrl") | {f"asyncrl/{name}" for name in files("sweeps")}
    needed = ("py.typed", "kernels/native.c", "presets.toml", "costs.toml", "analysis/reference/scores.csv")
    assert {f"asyncrl/{name}" for name in (*needed, "report/template.html.jinja", "sweeps/figure1.toml")} <= names


def test_sdist_holds_sources_tests_documents_and_published_runs(built):
    with tarfile.open(built[1]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    folders = ("asyncrl", "benchmarks", "docs", "results/published", "sweeps", "tests")
    expected = set().union(*map(files, folders)) | {str(path.relative_to(ROOT)) for path in ROOT.glob("*.md")}
    expected = {name for name in expected if not name.endswith("/lock") and "/.compact/" not in name}
    assert expected <= names
    assert {"pyproject.toml", "constraints.txt", "tox.ini", "Makefile", "LICENSE", "CITATION.cff"} <= names


@pytest.fixture(scope="module", params=VERSIONS)
def installed(request, built, tmp_path_factory):
    """Yield the programs of an environment with the wheel alone, and a function that installs its extras."""
    interpreter = interpreters.find(request.param)
    if interpreter is None:
        pytest.skip(f"Python {request.param} is not installed")
    folder = tmp_path_factory.mktemp(f"python{request.param}")
    programs = interpreters.make_environment(interpreter, folder / "environment")

    def install(extras=""):
        wheel = f"asyncrl{extras} @ {built[0].as_uri()}"
        constraints = ["--constraint", ROOT / "constraints.txt"]
        command = [programs / "python", "-m", "pip", "install", "--quiet", *constraints, wheel]
        variables = interpreters.clean_variables(programs, folder, has_compiler=True)
        subprocess.run(command, check=True, timeout=1_200, cwd=folder, env=variables)

    install()
    yield programs, install
    # an environment with torch takes a gigabyte
    shutil.rmtree(folder)


class User:
    """Runs programs of an environment in an empty directory of its own."""

    def __init__(self, programs, folder, has_compiler):
        self._programs, self.folder = programs, folder / "work"
        self.folder.mkdir()
        self._variables = interpreters.clean_variables(programs, folder, has_compiler)

    def run(self, program, *arguments, code=0):
        """Run a program of the environment, and return what it prints."""
        command = [self._programs / program, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self._variables, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr


@pytest.mark.parametrize("has_compiler", [True, False], ids=["compiler", "no-compiler"])
def test_wheel_in_an_empty_environment_trains_sweeps_reports_and_records(installed, tmp_path, has_compiler):
    programs, install = installed
    user = User(programs, tmp_path, has_compiler)
    assert user.run("asyncrl", "--version").split() == ["asyncrl", PROJECT["version"]]
    user.run("asyncrl", "doctor")
    pong = ("--env", "pong", "--threads", "1", "--frames", "400", "--name", "pong", "--set", "evaluation.episodes=0")
    user.run("asyncrl", "run", *pong)
    document = json.loads((user.folder / "results/pong/run.json").read_text())
    assert document["status"] == "finished"
    assert document["provenance"]["compiled"] is has_compiler
    user.run("asyncrl", "run", "--env", "CartPole-v1", "--threads", "2", "--frames", "1k", "--name", "cart")
    (user.folder / "rates.toml").write_text(RATES)
    user.run("asyncrl", "sweep", "rates.toml")
    assert len(list((user.folder / "results/rates").glob("*/run.json"))) == 2
    assert "20 cells" in user.run("asyncrl", "sweep", "small/figure1", "--dry-run")
    install("[analysis,video]")
    user.run("asyncrl", "report", "pong", "cart", "sweep:rates")
    assert "CartPole" in (user.folder / "results/report/report.html").read_text()
    user.run("asyncrl", "record", "pong", "--out", "pong.mp4", "--max-seconds", "1")
    assert (user.folder / "pong.mp4").stat().st_size > 1_000
    version, file = user.run("python", "-c", PLAY).split()
    assert (version, Path(file).is_relative_to(programs.parent)) == (PROJECT["version"], True)
