"""Values of options and files of settings that no run could have: each is one clear line, and none blocks."""

import os

import pytest

from asyncrl.config import RunConfig
from tests.past import make_run


@pytest.mark.parametrize(
    ("arguments", "clear"),
    [
        (("run", "--seed", "x"), "'--seed': it should be a whole number; got 'x'."),
        (("run", "--threads", ""), "'--threads': it should be a whole number; got ''."),
        (("eval", "--episodes", "0"), "'--episodes': it should be greater than or equal to 1; got '0'."),
        (("sweep", "x", "--jobs", "2.5"), "'--jobs': it should be a whole number; got '2.5'."),
        (("run", "--seed", "\x1b[31m" * 99), "it should be a whole number; got '\\x1b[31m"),
        (("run", "--set", "optimizer=1"), "optimizer should be a table; got 1."),
        (("run", "--set", "network=1"), "network should be a text; got 1."),
        (("run", "--set", "profile=1"), "profile should be true or false; got 1."),
        (("run", "--set", "\udcff=1"), "A name should be a text in UTF-8; got '\\udcff'."),
        (("run", "--dry-run", "--env", "CartPole-v1", "--seeds", "x"), "--seeds takes a number of seeds"),
        (("run", "--env", "CartPole-v1", "--seeds", "9" * 5000), "--seeds takes a number of seeds"),
        (("run", "--name", "/" * 500), "A run or a sweep cannot be named"),
        (("run", "--env", "\udcff"), "There is no environment '\\udcff'."),
    ],
)
def test_wrong_value_of_an_option_is_named_in_plain_words(command_line, arguments, clear):
    code, _, error = command_line(*arguments)
    assert (code, error.count("\n")) == (2, 1)
    assert clear in error
    assert len(error) < 400


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "kind", ["fifo", "device", "directory", "link to a device", "link to itself", "huge", "binary"]
)
def test_config_that_is_no_small_text_file_is_refused(command_line, tmp_path, kind):
    path = tmp_path / "settings.toml"
    make = {
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "link to a device": lambda: path.symlink_to("/dev/zero"),
        "link to itself": lambda: path.symlink_to(path),
        "huge": lambda: (path.touch(), os.truncate(path, 1 << 40)),
        "binary": lambda: path.write_bytes(b"\xff\xfe"),
    }
    make.get(kind, lambda: None)()
    code, _, error = command_line("run", "--config", "/dev/zero" if kind == "device" else str(path), "--dry-run")
    assert (code, error.count("\n")) == (2, 1)
    assert ("is not TOML" if kind == "binary" else "Cannot read") in error


def test_config_behind_a_link_is_read(command_line, tmp_path):
    (tmp_path / "settings.toml").write_text('env = "CartPole-v1"\nthreads = 3\nframes = "5k"\n')
    (tmp_path / "link.toml").symlink_to("settings.toml")
    code, out, _ = command_line("run", "--config", str(tmp_path / "link.toml"), "--dry-run")
    assert code == 0
    assert "threads = 3" in out


@pytest.mark.parametrize("command", ["ls", "report", "export"])
def test_results_that_is_no_directory_is_named(command_line, tmp_path, command):
    file = tmp_path / "file"
    file.touch()
    code, _, error = command_line(command, "--results", str(file))
    assert (code, error) == (2, f"asyncrl: Cannot read {file}: Not a directory.\n")


@pytest.mark.parametrize("command", [("export",), ("export", "--compact")])
def test_export_to_a_file_is_refused(command_line, tmp_path, command):
    make_run(tmp_path / "results", "one")
    file = tmp_path / "file"
    file.touch()
    code, _, error = command_line(*command, "--results", str(tmp_path / "results"), "--out", str(file))
    assert (code, error) == (2, f"asyncrl: Cannot write to {file}: Not a directory.\n")


def test_checkpoint_of_thousands_of_digits_is_refused(command_line, tmp_path):
    config = RunConfig(env="CartPole-v1", network="mlp")
    run = make_run(tmp_path / "results", "one", config=config, spaces="observations float32 [4], 2 actions")
    (run / "checkpoints").mkdir()
    code, _, error = command_line("eval", str(run), "--checkpoint", "9" * 5000)
    assert (code, error.count("\n")) == (2, 1)
    assert "A checkpoint is 'last', 'best' or a step" in error


def test_report_to_a_name_that_is_too_long_is_bad_input(command_line, tmp_path):
    make_run(tmp_path / "results", "one")
    code, _, error = command_line("report", "--results", str(tmp_path / "results"), "--out", "x" * 300)
    assert (code, error.count("\n")) == (2, 1)
    assert "File name too long" in error
