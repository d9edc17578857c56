"""Learners, networks and optimizers of the user: those of docs/extending.md, and wrong ones."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/extending.md").read_text()
FILES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL))
COMMANDS = [line.partition("  #")[0] for line in PAGE.splitlines() if line.startswith("asyncrl run")]
SHORT = ["--frames", "300", "--threads", "1", "--results", "results", "--set", "evaluation.episodes=1"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the working directory, with the files of the page, which are imported anew."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_page_has_commands_and_files():
    assert len(COMMANDS) >= 5
    assert {"double_q.py", "huber.py", "wide.py", "gru.py", "lion.py"} == set(FILES)


@pytest.mark.learning
@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_the_page_trains(command_line, folder, command):
    words = shlex.split(command)[1:]
    kept = [word for i, word in enumerate(words) if not {"--frames", "--threads"} & {word, words[i - 1]}]
    code, _, err = command_line(*kept, *SHORT, "--name", "own")
    assert code == 0, err
    document = read_document(folder / "results" / "own")
    assert document["status"] == "finished"
    (part,) = document["own_parts"].values()
    assert part["file"] in FILES
    assert len(part["sha256"]) == 64
    assert read_rows(folder / "results" / "own", "evaluations")


@pytest.mark.learning
def test_resume_of_a_changed_file_warns_and_continues(command_line, folder):
    arguments = ["run", "--algo", "double_q:DoubleQ", "--env", "CartPole-v1", *SHORT, "--name", "own"]
    assert command_line(*arguments)[0] == 0
    with (folder / "double_q.py").open("a") as file:
        file.write("# changed\n")
    code, _, err = command_line("resume", "own", "--frames", "600", "--results", "results")
    assert code == 0, err
    assert "double_q.py, which has double_q:DoubleQ, has changed since the run began" in err
    assert read_document(folder / "results" / "own")["frames"] >= 600


WRONG = {
    "no_colon": ("a3d", "algo is 'a3d'; it can be"),
    "no_module": ("nowhere:Learner", "Cannot import 'nowhere'"),
    "no_class": ("double_q:DoubelQ", "has no class or function 'DoubelQ'. Did you mean 'DoubleQ'"),
    "no_dataclass": ("wide:Wide", "wide:Wide is not a dataclass"),
    "no_name": ("double_q:", "is not of the form module:Name"),
    "no_methods": ("lion:Lion", "lion:Lion lacks snapshots"),
    "no_value": ("broken:Needs", "broken:Needs has a field 'kappa' without a default"),
}


@pytest.mark.parametrize(("algo", "message"), WRONG.values(), ids=WRONG)
def test_wrong_learner_is_refused_in_one_line_before_anything_is_written(command_line, folder, algo, message):
    source = (
        FILES["double_q.py"]
        .replace("class DoubleQ:", "class Needs:")
        .replace("target_period: int", "target_period: int\n    kappa: float\n   ")
    )
    (folder / "broken.py").write_text(source)
    code, _, error = command_line("run", "--algo", algo, "--env", "CartPole-v1", *SHORT)
    assert code == 2
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (folder / "results").exists()


NARROW = "from torch import nn\nclass Net(nn.Identity):\n    features = 7\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def Net(shape): return 3", "must make a torch.nn.Module"),
        (NARROW, "are expected"),
        ("def Net(shape): raise KeyError('layers')", "Cannot make odd:Net: KeyError"),
    ],
)
def test_wrong_network_is_refused_in_one_line(command_line, folder, body, message):
    (folder / "odd.py").write_text(body)
    sys.modules.pop("odd", None)
    code, _, error = command_line("run", "--network", "odd:Net", "--env", "CartPole-v1", "--dry-run", *SHORT)
    assert code == 2
    assert message in error
    assert len(error.splitlines()) == 1


def test_dry_run_with_own_parts_prints_their_names(command_line, folder):
    arguments = ["--algo", "double_q:DoubleQ", "--network", "wide:Wide-lstm", "--set", "optimizer.name=lion:Lion"]
    code, out, err = command_line("run", *arguments, "--env", "CartPole-v1", "--dry-run", "--json")
    assert code == 0, err
    settings = json.loads(out)
    found = settings["algo"], settings["network"], settings["optimizer"]["name"]
    assert found == ("double_q:DoubleQ", "wide:Wide-lstm", "lion:Lion")
