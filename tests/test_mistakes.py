"""Options, settings and commands that are wrong: each is one line with a way out, and nothing is written."""

import json

import pytest

from asyncrl.cli.app import main
from asyncrl.config import RunConfig, build, flatten

WAYS_OUT = {
    ("run", "--frames", "10x"): "10M, 4e6, 500k",
    ("run", "--frames", "ten"): "10M, 4e6, 500k",
    ("run", "--set", "evaluation.every=10 miles"): "10M, 4e6, 500k",
    ("run", "--set", "lr=1e-3"): "Did you mean 'optimizer.lr'?",
    ("run", "--set", "clip=1"): "Did you mean 'optimizer.clip'?",
    ("run", "--set", "optimizer.t_max=1"): "'t_max'?",
    ("run", "--set", "every=1"): "'evaluation.every'",
    ("run", "--set", "optimiser.lr=1"): "Did you mean 'optimizer.lr'?",
    ("run", "--algo", "sarsa"): "Did you mean 'one-step-sarsa'?",
    ("run", "--algo", "A3C"): "Did you mean 'a3c'?",
    ("run", "--network", "lstm"): "'mlp-lstm'",
    ("run", "--preset", "papers"): "'paper'",
    ("run", "--name", "../x"): "use letters, digits",
    ("run", "--dry-run", "--name", "last"): "use letters, digits",
    ("run", "--lr", "1"): "--set optimizer.lr=VALUE",
    ("run", "--t-max", "1"): "--set t_max=VALUE",
    ("run", "--noops", "1"): "--set atari.noops=VALUE",
    ("run", "--thread", "1"): "--threads",
    ("eval", "--episode", "1"): "--episodes",
    ("ls", "--were", "a"): "--where",
    ("learn",): "The commands are run, resume, sweep, eval",
    ("eva",): "Did you mean eval?",
    ("\x1b[31mrun\n",): "See: asyncrl --help",
    ("run", "--\x1b[31mlr\n"): "See: asyncrl run --help",
    ("run", "--threads", "x"): "See: asyncrl run --help",
    ("run", "pong"): "See: asyncrl run --help",
    ("run", "--set", "\x1b[31ma=1"): "There is no setting",
    ("run", "--set", "a" * 100_000 + "=1"): "There is no setting",
    ("run", "--set", "threads=" + "9" * 10_000): "threads should",
    ("run", "--set", "threads=" + "[" * 10_000): "threads should",
    ("run", "--set", "threads=1\ny=2"): "threads should",
    ("run", "--seed", "9" * 100): "",
}


@pytest.fixture
def asyncrl(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command line in an empty directory; it returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert list(tmp_path.iterdir()) == []
        return end.value.code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("arguments", WAYS_OUT, ids=lambda words: " ".join(words)[:40])
def test_mistake_gets_one_line_with_a_way_out(asyncrl, arguments):
    code, out, err = asyncrl(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("asyncrl: ")
    assert err.count("\n") == 1
    assert err.strip().isprintable()
    assert len(err) < 700
    assert WAYS_OUT[arguments] in err


NUMBERS = {name: value for name, value in flatten(RunConfig().model_dump()).items() if type(value) in (int, float)}
WRONG = {"bool": "true", "text": "'1'", "list": "[1]", "nan": "nan", "infinite": "inf", "negative": "-1"}
WRONG |= {"overflow": "1e400", "table": "{a = 1}", "huge": "1" + "0" * 30, "date": "2026-01-01"}


def refused(asyncrl, setting):
    code, _, err = asyncrl("run", "--env", "CartPole-v1", "--dry-run", "--set", setting)
    return code == 2 and err.startswith(f"asyncrl: {setting.partition('=')[0]} ") and err.count("\n") == 1


@pytest.mark.parametrize("wrong", WRONG)
def test_number_of_another_type_or_size_is_refused_in_every_setting(asyncrl, wrong):
    # a rate or a weight may be as large as a float
    free = {"optimizer.lr", "optimizer.eps", "optimizer.clip", "entropy", "value_weight"} if wrong == "huge" else set()
    # a number of frames may be a text
    free |= {name for name in NUMBERS if "frames" in name} if wrong == "text" else set()
    accepted = [name for name in NUMBERS.keys() - free if not refused(asyncrl, f"{name}={WRONG[wrong]}")]
    assert accepted == []


@pytest.mark.parametrize("wrong", ["1.5", "1.0"])
def test_integer_that_is_a_float_is_refused_in_every_setting(asyncrl, wrong):
    integers = [name for name, value in NUMBERS.items() if isinstance(value, int)]
    # 1.0 frames is a whole number of frames, as 4e6 is
    integers = [name for name in integers if wrong == "1.5" or "frames" not in name]
    assert [name for name in integers if not refused(asyncrl, f"{name}={wrong}")] == []


@pytest.mark.parametrize("wrong", ["1", "'true'", "yes", "[true]"])
def test_bool_of_another_type_is_refused(asyncrl, wrong):
    assert refused(asyncrl, f"optimizer.anneal={wrong}")
    assert refused(asyncrl, f"profile={wrong}")


@pytest.mark.parametrize("name", ["t_max", "threads", "envs_per_thread", "checkpoints.keep", "evaluation.episodes",
                                  "workers.restarts", "atari.noops", "averaging"])  # fmt: skip
def test_setting_beyond_its_bound_names_the_bound(asyncrl, name):
    code, _, err = asyncrl("run", "--set", f"{name}={10**17}")
    assert code == 2
    assert f"{name} should be less than or equal to 1" in err


def test_run_that_exceeds_the_memory_is_refused(asyncrl):
    sizes = ("--threads", "1024", "--envs-per-thread", "1024", "--set", "t_max=100000")
    code, _, err = asyncrl("run", "--env", "CartPole-v1", *sizes)
    assert code == 2
    assert "asyncrl: Memory: " in err
    assert "Reduce threads, envs_per_thread or t_max." in err


@pytest.mark.parametrize(("settings", "every"), [([], 100_000), (["--set", "evaluation.every=2k"], 2_000)])
def test_dry_run_prints_the_frames_between_evaluations(asyncrl, settings, every):
    arguments = ("run", "--env", "CartPole-v1", "--frames", "1M", "--dry-run", *settings)
    assert f"every = {every}\n" in asyncrl(*arguments)[1]
    printed = json.loads(asyncrl(*arguments, "--json")[1])
    assert printed["evaluation"]["every"] == every
    assert printed["checkpoints"]["every"] == 100_000
    assert build(printed).evaluation.every == every
