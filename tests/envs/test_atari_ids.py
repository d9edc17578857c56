"""Ids of Atari games, also those of an old Gym: the game that they name, and the note on what is different."""

import json

import pytest

from asyncrl.config import Atari
from asyncrl.envs.registry import Registered, Rom, canonical, note, parse_name

PICTURES = "observations are four grey pictures of 84 × 84"
CLIPPED = "and in training rewards are clipped and a lost life is terminal"
STICKY = "actions are not sticky (--set atari.protocol=sticky)"


@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("PongDeterministic-v4", f"{PICTURES}, {CLIPPED}"),
        ("PongDeterministic-v0", f"{PICTURES}, {STICKY}, {CLIPPED}"),
        ("PongNoFrameskip-v4", f"{PICTURES}, an action takes 4 frames, not 1 frame, {CLIPPED}"),
        ("pongnoframeskip-v0", f"{PICTURES}, an action takes 4 frames, not 1 frame, {STICKY}, {CLIPPED}"),
        ("Pong-v4", f"{PICTURES}, an action takes 4 frames, not 2 to 4 frames, {CLIPPED}"),
        ("ALE/Pong-v5", f"{PICTURES}, {STICKY}, {CLIPPED}"),
        ("ale_py:ALE/Pong-v5", f"{PICTURES}, {STICKY}, {CLIPPED}"),
    ],
)
def test_note_of_an_id_tells_what_is_different(name, difference):
    assert parse_name(name) == Rom("pong")
    assert note(name, Atari()) == f"{name} is trained as 'pong': {difference}."


@pytest.mark.parametrize("name", ["pong", "Pong", "ms_pacman", "Ms. Pac-Man", "CartPole-v1", "minatar/breakout-v0"])
def test_note_of_another_name_is_none(name):
    assert note(name, Atari()) is None


def test_note_with_sticky_actions_compares_them():
    sticky = Atari(protocol="sticky")
    assert "sticky" not in note("ALE/Pong-v5", sticky)
    assert "actions are sticky" in note("PongDeterministic-v4", sticky)
    assert "life" not in note("ALE/Pong-v5", sticky)


@pytest.mark.parametrize("name", ["SpaceInvadersDeterministic-v4", "SpaceInvadersDeterministic-v0"])
def test_note_of_space_invaders_names_its_three_frames(name):
    assert "an action takes 4 frames, not 3 frames" in note(name, Atari())
    assert "2 to 4 frames" in note(name.replace("Deterministic", ""), Atari())


def test_id_that_no_version_of_ale_py_registers_is_the_game():
    assert canonical("SpaceInvadersDeterministic-v4") == "space_invaders"
    assert canonical("MsPacmanDeterministic-v0") == "ms_pacman"
    assert parse_name("CartPole-v0") == Registered("CartPole-v0")


@pytest.mark.parametrize(
    ("name", "game"),
    [("ALE/Pong-ram-v5", "pong"), ("MsPacman-ramDeterministic-v0", "ms_pacman"), ("Pong-ram-v4", "pong")],
)
def test_run_of_an_id_with_memory_as_observations_is_refused(command_line, name, game):
    code, _, err = command_line("run", "--env", name, "--dry-run")
    assert (code, err.count("\n")) == (2, 1)
    assert f"{name} shows 128 bytes of memory in place of pictures, which is not supported; use '{game}'." in err


def test_dry_run_of_an_old_id_prints_the_note_and_the_game(command_line):
    code, out, err = command_line("run", "--env", "BreakoutNoFrameskip-v4", "--dry-run", "--json")
    assert (code, json.loads(out)["env"]) == (0, "breakout")
    assert err.startswith("asyncrl: BreakoutNoFrameskip-v4 is trained as 'breakout': ")
    assert err.count("\n") == 1
