"""Every shell line of the documents is parsed; every ``asyncrl run`` of them is accepted with ``--dry-run``."""

import re
import shlex
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command

from asyncrl.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "results/published/README.md"])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Programs of the system and of other packages, whose arguments are not read here.
OTHERS = {
    *("python3", ".", "pre-commit", "optuna-dashboard", "tensorboard"),
    *("trap", "wait", "[", "export", "sleep", "ray", "srun"),
}
# Files that the pages name and do not show.
HIDDEN = {
    "corridors.py": "from tests.runtime.toys import Corridor\n",
    "island.py": """
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Text


class Island(gymnasium.Env):
    observation_space = Dict(map=Box(0, 255, (84, 84), np.uint8), speed=Box(-1, 1, (1,), np.float32), log=Text(9))
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.see(), {}

    def step(self, action):
        return self.see(), 0.0, False, False, {}

    def see(self):
        return {"map": np.zeros((84, 84), np.uint8), "speed": np.zeros(1, np.float32), "log": "calm"}
""",
}


def blocks(page, language):
    """Return the code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(page):
    """Return the words of each command in the bash blocks of a page, up to an operator of the shell."""
    lines = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    split = (shlex.split(line, comments=True) for line in lines)
    for words in split:
        ends = [i for i, word in enumerate(words) if word in ("&", "|", "&&") or word.endswith(";")]
        if words:
            yield words[: ends[0]] if ends else words


COMMANDS = [(page, words) for page in PAGES for words in commands(page)]
RUNS = [(page, words) for page, words in COMMANDS if words[:2] in (["asyncrl", "run"], ["asyncrl", "sweep"])]


def ids(found):
    """Return names for pytest: the page, and the number of the command."""
    return [f"{page.name}-{i}" for i, (page, _) in enumerate(found)]


def test_documents_have_commands():
    assert len(RUNS) > 20
    assert {page.name for page, _ in COMMANDS} > {"README.md", "CONTRIBUTING.md", "usage.md", "extending.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shell_block_of_a_page_has_no_syntax_error(page):
    for block in blocks(page, "bash"):
        subprocess.run(["bash", "-n"], input=block, text=True, check=True, timeout=10)


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=ids(COMMANDS))
def test_command_of_a_page_exists_and_takes_its_arguments(page, words):
    program, arguments = Path(words[0]).name or words[0], words[1:]
    if program in OTHERS or re.match(r"\w+=", words[0]):
        return
    KNOWN[program](arguments)


def parse(arguments):
    """Parse a command line of asyncrl, without running it."""
    command = get_command(app)
    context = command.make_context("asyncrl", list(arguments))
    name, subcommand, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    subcommand.make_context(name, rest, parent=context)


def has_targets(targets):
    """See that the Makefile has these targets."""
    known = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert {target for target in targets if "=" not in target} <= set(known)


def has_environment(arguments):
    """See that tox.ini has the environment of ``-e``."""
    environment = arguments[arguments.index("-e") + 1]
    text = (ROOT / "tox.ini").read_text()
    assert f"[testenv:{environment}]" in text or re.search(rf"^env_list = .*\b{environment}\b", text, re.MULTILINE)


def has_extras(arguments):
    """See that the project has the extras, as in ``.[video,mujoco]``."""
    (extras,) = re.findall(r"\[(.*)\]", " ".join(arguments)) or [""]
    assert {extra for extra in extras.split(",") if extra} <= set(PROJECT["optional-dependencies"])


def has_module(arguments):
    """See that the module of ``-m`` exists."""
    assert arguments[0] == "-m"
    assert find_spec(arguments[1]) is not None


KNOWN = {"asyncrl": parse, "make": has_targets, "tox": has_environment, "pip": has_extras, "python": has_module}


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Return a directory with the files that the pages show, and some that they name."""
    folder = tmp_path_factory.mktemp("reader")
    for name, text in HIDDEN.items():
        (folder / name).write_text(text)
    for page in PAGES:
        for block in (*blocks(page, "python"), *blocks(page, "toml")):
            if name := re.match(r"# (\w+\.(?:py|toml))\n", block):
                (folder / name[1]).write_text(block)
    costs = folder / "results/RUN/costs.toml"
    costs.parent.mkdir(parents=True)
    costs.write_bytes((ROOT / "asyncrl/costs.toml").read_bytes())
    best = folder / "results/search-cartpole/best.toml"
    best.parent.mkdir()
    best.write_text('env = "CartPole-v1"\n')
    yield folder
    for file in folder.glob("*.py"):
        sys.modules.pop(file.stem, None)


@pytest.mark.parametrize(("page", "words"), RUNS, ids=ids(RUNS))
def test_training_command_of_a_page_is_accepted_by_a_dry_run(command_line, reader, monkeypatch, page, words):
    monkeypatch.chdir(reader)
    monkeypatch.syspath_prepend(str(reader))
    dry_run = [] if "--dry-run" in words else ["--dry-run"]
    code, _, err = command_line(*words[1:], *dry_run, "--results", "empty")
    assert code == 0, err
