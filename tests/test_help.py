"""The help of commands names every form that an option takes."""

import pytest


@pytest.mark.parametrize(
    ("option", "forms"),
    [
        ("--algo", ("n-step-q", "pkg.module:Name")),
        ("--network", ("conv-lstm", "pkg.module:Name", "-lstm")),
        ("--env", ("pong", "minatar/GAME", "CartPole-v1", "pkg.module:factory", "asyncrl envs")),
        ("--tracker", ("tensorboard", "module:factory")),
    ],
)
def test_help_of_an_option_names_own_parts_too(command_line, monkeypatch, option, forms):
    monkeypatch.setenv("COLUMNS", "1000")
    code, out, _ = command_line("run", "--help")
    assert code == 0
    line = next(line for line in out.splitlines() if line.startswith(f"│ {option} "))
    assert [form for form in forms if form not in line] == []
