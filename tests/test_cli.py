import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from asyncrl import doctor, experiment, video
from asyncrl.config import RunConfig
from asyncrl.envs.base import Discrete, Spec
from asyncrl.errors import Exit, InputError, RunFailed, Stopped
from asyncrl.store.manifest import NoCheckpointError
from asyncrl.training import job_builder
from tests.past import make_run

COMMANDS = ("run", "resume", "sweep", "eval", "record", "ls", "show", "report", "export", "envs", "doctor")
ROW = {"mean": 1.0, "median": 1.0, "std": 0.0, "episodes": 3, "frames": 400_000, "protocol": "atari-paper-noop"}


SPEC = Spec((4, 84, 84), "uint8", Discrete(6), frames_per_step=4)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Change to an empty directory, and return its default directory of results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASYNCRL_RESULTS", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path / "results"


@pytest.fixture
def asyncrl(results, command_line):
    """Return a function that runs a command line and returns its exit code, output and errors."""
    return command_line


@pytest.fixture
def fake(monkeypatch, results):
    """Return a function that replaces a function of a module by a mock of the same signature."""

    def replace(name, module=experiment, **behaviour):
        double = create_autospec(getattr(module, name), **behaviour)
        monkeypatch.setattr(module, name, double)
        return double

    return replace


@pytest.fixture
def resolved(fake):
    """Return the mock of job_builder.resolve, which builds no environment."""
    return fake("resolve", job_builder, return_value=(RunConfig(network="nips"), SPEC))


def test_what_is_not_given_is_absent_from_the_table(asyncrl, resolved):
    assert asyncrl("run", "--dry-run")[0] == 0
    resolved.assert_called_once_with({})


def test_every_option_reaches_the_table_by_its_own_name(asyncrl, resolved):
    options = {"algo": "a2c", "env": "qbert", "network": "nature", "frames": "4e6"}
    numbers = {"threads": 4, "envs_per_thread": 8, "seed": 7}
    given = [f"--{name.replace('_', '-')}={value}" for name, value in (options | numbers).items()]
    assert asyncrl("run", "--dry-run", *given)[0] == 0
    resolved.assert_called_once_with(options | numbers)


def test_options_lie_over_set_and_set_over_the_file(asyncrl, resolved, tmp_path):
    (tmp_path / "my.toml").write_text("threads = 1\nseed = 1\nt_max = 1\n[optimizer]\nlr = 1\neps = 1")
    arguments = (
        "--config",
        "my.toml",
        "--set",
        "seed=2",
        "--set",
        "optimizer.lr=2",
        "--set",
        "threads=2",
        "--threads=3",
    )
    assert asyncrl("run", "--dry-run", *arguments)[0] == 0
    resolved.assert_called_once_with({"threads": 3, "seed": 2, "t_max": 1, "optimizer": {"lr": 2, "eps": 1}})


def test_a_dry_run_prints_what_can_be_run_and_writes_nothing(asyncrl, results, tmp_path):
    code, toml, _ = asyncrl("run", "--dry-run", "--env", "CartPole-v1", "--algo", "n-step-q", "--frames", "5k")
    assert code == 0
    (tmp_path / "again.toml").write_text(toml)
    assert asyncrl("run", "--dry-run", "--config", "again.toml")[1] == toml
    as_json = json.loads(asyncrl("run", "--dry-run", "--json", "--config", "again.toml")[1])
    assert (as_json["env"], as_json["frames"], as_json["network"]) == ("CartPole-v1", 5_000, "mlp")
    assert not results.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--env", "pomg"], "Did you mean 'pong'?"),
        (["run", "--algo", "a3d"], "Did you mean 'a3c'?"),
        (["run", "--network", "natur"], "Did you mean 'nature'?"),
        (["run", "--threads", "0"], "threads should be greater than or equal to 1"),
        (["run", "--threads", "many"], "--threads"),
        (["run", "--frames", "-1"], "frames should be greater than 0"),
        (["run", "--frames", "lots"], "frames"),
        (["run", "--set", "optimizer.lrr=1"], "Did you mean 'optimizer.lr'?"),
        (["run", "--set", "lr"], "NAME=VALUE"),
        (["run", "--config", "none.toml"], "Cannot read none.toml"),
        (["run", "--config", "bad.toml"], "bad.toml is not TOML"),
        (["run", "--config", "misspelt.toml"], "Did you mean 'threads'?"),
        (["run", "--results", "bad.toml/results"], "Cannot write results"),
        (["run", "--thread", "3"], "--threads"),
        (["run", "pong"], "pong"),
        (["rum"], "run"),
        (["show"], "holds none yet"),
        (["resume", "pong-1", "--frames", "0"], "holds none yet"),
        (["eval", "last", "--episodes", "0"], "--episodes"),
        (["ls", "--where", "algos=a3c"], "Did you mean 'algo'?"),
        (["export"], "no runs in results yet"),
        (["export", "--format", "xls"], "parquet or csv"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2_and_nothing_is_written(asyncrl, results, tmp_path, arguments, message):
    (tmp_path / "bad.toml").write_text("threads = = 3")
    (tmp_path / "misspelt.toml").write_text("treads = 3")
    before = set(tmp_path.rglob("*"))
    if arguments[0] == "ls":
        make_run(results, "pong-1")
        before = set(tmp_path.rglob("*"))
    code, out, err = asyncrl(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("asyncrl: ")
    assert err.count("\n") == 1
    assert message in err
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["show", "resume", "eval", "record"])
def test_a_run_that_matches_two_is_refused(asyncrl, results, command):
    make_run(results, "pong-1")
    make_run(results, "pong-2")
    code, _, err = asyncrl(command, "pong")
    assert code == 2
    assert "pong-1" in err
    assert "pong-2" in err


def test_a_run_ends_with_where_it_is_and_what_to_try_next(asyncrl, fake, resolved, results):
    train = fake("train", side_effect=lambda config, root, name, show, spec, **_: make_run(root, name))
    code, out, _ = asyncrl("run", "--name", "mine")
    assert code == 0
    assert train.call_args.args[:3] == (resolved.return_value[0], results.relative_to(results.parent), "mine")
    assert "The run is in results/mine" in out
    assert "asyncrl record results/mine" in out


def test_results_can_be_set_once_for_all_commands(asyncrl, fake, resolved, monkeypatch, tmp_path):
    monkeypatch.setenv("ASYNCRL_RESULTS", str(tmp_path / "elsewhere"))
    fake("train", side_effect=lambda config, root, name, show, spec, **_: make_run(root, "mine"))
    asyncrl("run")
    assert "mine" in asyncrl("ls")[1]
    assert "mine" not in asyncrl("ls", "--results", "results")[1]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (lambda run: RunFailed(run, "ValueError: broken", Exit.WORKER_FAILED), 4, "ValueError: broken"),
        (lambda run: RunFailed(run, "the last checkpoint could not be saved", Exit.DISK_FULL), 5, "could not be saved"),
        (lambda run: Stopped(run, Exit.INTERRUPTED), 130, "asyncrl resume"),
        (lambda run: Stopped(run, Exit.TERMINATED), 143, "asyncrl resume"),
        (lambda run: Stopped(run, Exit.WARNED), 75, "stopped by SIGUSR1. Continue with: asyncrl resume"),
        (lambda run: InputError("wrong"), 2, "asyncrl: wrong"),
        (lambda run: NoCheckpointError("none is whole"), 3, "asyncrl: none is whole"),
        (lambda run: OSError(errno.ENOSPC, "No space left", "run.json"), 5, "Cannot write run.json: No space left."),
        (lambda run: KeyboardInterrupt(), 130, ""),
    ],
)
@pytest.mark.parametrize("command", ["run", "resume"])
def test_early_end_has_its_exit_code_and_at_most_one_line(
    asyncrl, fake, resolved, results, command, error, code, message
):
    run = make_run(results, "mine")
    fake("train" if command == "run" else "resume", side_effect=error(run))
    ended, _, err = asyncrl(command)
    assert ended == code
    assert message in err
    assert err.count("\n") == (message != "")
    assert ("results" in err or str(results) in err) == ("See: asyncrl" in err or "Continue with: asyncrl" in err)


def test_two_mistakes_are_two_lines(asyncrl, fake, resolved):
    fake("train", side_effect=InputError("Too little.", "Too few."))
    assert asyncrl("run")[::2] == (2, "asyncrl: Too little.\nasyncrl: Too few.\n")


def test_a_schedulers_warning_before_a_run_listens_ends_it_in_the_same_way(asyncrl, fake, resolved):
    old = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    try:
        fake("train", side_effect=lambda *_, **__: os.kill(os.getpid(), signal.SIGUSR1))
        assert asyncrl("run") == (Exit.WARNED, "", "")
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_every_exit_code_is_in_the_documentation():
    text = (Path(__file__).parents[1] / "docs" / "usage.md").read_text()
    table = text.partition("## Exit codes")[2].partition("\n## ")[0]
    listed = [int(code) for line in re.findall(r"^\|([\d, ]+)\|", table, re.MULTILINE) for code in line.split(",")]
    assert set(listed) == {*Exit, 1}


def test_resume_goes_on_with_a_larger_budget(asyncrl, fake, results):
    run = make_run(results, "mine")
    resume = fake("resume", return_value=run)
    assert asyncrl("resume", "mi", "--frames", "20M")[0] == 0
    assert [*resume.call_args.args[:2]] == [run.relative_to(results.parent), 20_000_000]
    asyncrl("resume")
    assert resume.call_args.args[1] is None


def test_eval_prints_a_line_or_json(asyncrl, fake, results):
    make_run(results, "mine")
    evaluate = fake("evaluate", return_value=ROW)
    assert "1 is the mean of 3 episodes" in asyncrl("eval", "last", "--episodes", "3", "--checkpoint", "best")[1]
    assert evaluate.call_args.args[1:] == ("best", 3, 1)
    assert json.loads(asyncrl("eval", "--json")[1]) == ROW


def test_record_films_into_the_run_or_where_it_is_told(asyncrl, monkeypatch, results):
    make_run(results, "mine")
    record = create_autospec(video.record, return_value=[-21.0, 3.0])
    monkeypatch.setattr(video, "record", record)
    assert "results/mine/best.mp4 shows -21, 3 points" in asyncrl("record", "--checkpoint", "best")[1]
    asyncrl("record", "--out", "my.gif", "--episodes", "2", "--max-seconds", "9")
    assert [str(record.call_args.args[2]), *record.call_args.args[3:]] == ["my.gif", 2, 9.0]


def test_ls_and_show_for_people_and_for_scripts(asyncrl, results):
    assert "asyncrl run" in asyncrl("ls")[1]
    assert json.loads(asyncrl("ls", "--json")[1]) == []
    make_run(results, "mine")
    assert "mine" in asyncrl("ls", "--where", "algo=a3c and threads<4")[1]
    assert json.loads(asyncrl("ls", "--json")[1])[0]["id"] == "mine"
    assert "a3c on pong" in asyncrl("show")[1]
    assert json.loads(asyncrl("show", "results/mine", "--json")[1])["config"]["env"] == "pong"


def test_export_says_what_it_wrote(asyncrl, results):
    make_run(results, "mine")
    code, out, _ = asyncrl("export", "mine", "--out", "flat", "--format", "csv")
    assert code == 0
    assert "flat/evaluations.csv  3 rows" in out
    assert (results.parent / "flat" / "runs.csv").read_text().count("mine") >= 1


@pytest.mark.parametrize(("verdict", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_the_doctor_fails_only_if_a_check_does(asyncrl, monkeypatch, verdict, code):
    check = doctor.Check("disk", verdict, "half full", "Free some.")
    monkeypatch.setattr(doctor, "run_checks", lambda results, on: iter([check]))
    assert asyncrl("doctor")[0] == code
    ended, out, _ = asyncrl("doctor", "--json")
    assert ended == code
    assert json.loads(out) == [check._asdict()]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(asyncrl, command):
    code, out, _ = asyncrl(command, "--help")
    assert code == 0
    assert f"Example: asyncrl {command}" in " ".join(out.split())


def test_help_lists_every_command_in_order(asyncrl):
    assert asyncrl("--help") == asyncrl()
    listed = re.findall(r"^│ ([a-z]+) ", asyncrl("--help")[1], re.MULTILINE)
    assert tuple(listed) == COMMANDS


def python(*arguments, seconds=60, **environment):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    line = [sys.executable, *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=seconds, env=environment)


def command(*arguments):
    """Run a command line in a process of its own."""
    return python("-m", "asyncrl", *arguments, seconds=100, OMP_NUM_THREADS="1")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["run", "--help"], ["ls"]])
def test_what_needs_no_torch_does_not_wait_for_it(results, arguments):
    code = f"""
import sys
from asyncrl.cli.app import main
try:
    main({arguments})
except SystemExit as end:
    assert not end.code, end.code
assert not {{"torch", "gymnasium", "ale_py", "imageio"}} & sys.modules.keys()
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_output_that_finds_no_room_is_one_line_and_exit_code_5(tmp_path):
    with (tmp_path / "log").open("w") as log:
        done = subprocess.run(
            [sys.executable, "-m", "asyncrl", "--version"],
            stdout=log,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        )
    assert (done.returncode, done.stderr) == (Exit.DISK_FULL, "asyncrl: Cannot write: File too large.\n")


def test_a_missing_extra_is_named(results):
    done = python("-c", "import sys; sys.modules['pandas'] = None; from asyncrl.cli.app import main; main(['export'])")
    assert done.returncode == 2
    assert done.stderr == "asyncrl: This needs pandas: pip install 'asyncrl[analysis]'.\n"


def test_a_terminal_without_unicode_gets_question_marks(results):
    make_run(results, "mine")
    done = python("-c", "from asyncrl.cli.app import main; main(['show'])", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout


def test_a_run_of_the_emulator_has_nothing_to_complain_of(results):
    done = command("run", "--env", "pong", "--threads", "1", "--frames", "1k", "--set", "evaluation.episodes=0")
    assert (done.returncode, done.stderr) == (0, "")


# It starts many processes.
@pytest.mark.faults
@pytest.mark.timeout(120)
def test_the_whole_way_with_a_real_run(results):
    """Train, show, evaluate and resume, with one process and the real runtime."""
    short = ("--set", "evaluation.episodes=1", "--set", "evaluation.every=1k")
    trained = command("run", "--env", "CartPole-v1", "--threads", "1", "--frames", "1k", "--name", "mine", *short)
    assert (trained.returncode, trained.stderr) == (0, "")
    assert "100.0%" in trained.stdout
    assert "The run is in results/mine" in trained.stdout
    resumed = command("resume", "--frames", "2k")
    assert resumed.returncode == 0
    assert resumed.stderr.startswith("asyncrl: The learning rate is annealed to 0 over the new budget")
    evaluated = command("eval", "--episodes", "2", "--json")
    assert json.loads(evaluated.stdout)["episodes"] == 2
    shown = json.loads(command("show", "--json").stdout)
    assert shown["status"] == "finished"
    assert shown["frames"] >= 2_000


def test_a_warning_is_one_line_without_the_code_it_came_from(asyncrl, results, monkeypatch):
    def evaluate(*_):
        warnings.warn("The newest checkpoint is damaged. Going back to step 5.", stacklevel=1)
        return ROW

    make_run(results, "one")
    monkeypatch.setattr(experiment, "evaluate", evaluate)
    code, _, err = asyncrl("eval", "one")
    assert (code, err) == (0, "asyncrl: The newest checkpoint is damaged. Going back to step 5.\n")
