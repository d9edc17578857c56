"""Names as text, for runs that store what the user typed."""

import pytest

from asyncrl.envs.names import alphanumeric, atari_protocol, game_key
from asyncrl.envs.registry import roms


@pytest.mark.parametrize("env", ["ms_pacman", "MsPacman", "Ms. Pac-Man", "ALE/MsPacman-v5", "MsPacmanNoFrameskip-v4"])
def test_game_key_of_any_spelling_is_the_same(env):
    assert game_key(env) == "mspacman"


def test_game_key_of_every_rom_is_its_letters_and_digits():
    assert [game_key(rom) for rom in roms()] == [alphanumeric(rom) for rom in roms()]


def test_game_key_of_another_environment_is_not_that_of_a_game():
    assert game_key("CartPole-v1") == "cartpolev1"


@pytest.mark.parametrize(
    ("protocol", "noops", "frame_size", "name"),
    [
        ("paper", 30, 84, "atari-paper-noop"),
        ("sticky", 1, 84, "atari-sticky-noop"),
        ("paper", 0, 84, "atari-paper"),
        ("sticky", 1, 42, "atari-sticky-noop-42"),
        ("paper", 0, 42, "atari-paper-42"),
    ],
)
def test_atari_protocol_names_the_actions_the_no_ops_and_smaller_frames(protocol, noops, frame_size, name):
    assert atari_protocol(protocol, noops, frame_size) == name
