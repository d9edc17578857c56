"""The names of environments: what they mean, and the errors for unknown ones."""

import subprocess
import sys

import gymnasium
import pytest

from asyncrl.envs.registry import Factory, Registered, Rom, canonical, parse_name, roms
from asyncrl.errors import InputError

PAPER = """
    alien amidar assault asterix asteroids atlantis bank_heist battle_zone beam_rider berzerk bowling boxing breakout
    centipede chopper_command crazy_climber defender demon_attack double_dunk enduro fishing_derby freeway frostbite
    gopher gravitar hero ice_hockey jamesbond kangaroo krull kung_fu_master montezuma_revenge ms_pacman name_this_game
    phoenix pitfall pong private_eye qbert riverraid road_runner robotank seaquest skiing solaris space_invaders
    star_gunner surround tennis time_pilot tutankham up_n_down venture video_pinball wizard_of_wor yars_revenge
    zaxxon"""


def test_the_papers_57_games_resolve_to_themselves():
    games = PAPER.split()
    assert len(games) == 57
    assert [parse_name(game) for game in games] == [Rom(game) for game in games]
    assert len(roms()) > 100


@pytest.mark.parametrize(
    "name", ["ms_pacman", "MsPacman", "Ms. Pac-Man", "ALE/MsPacman-v5", "MsPacman-v4", "MsPacmanNoFrameskip-v4"]
)
def test_resolve_any_spelling_of_a_game_returns_its_rom(name):
    assert parse_name(name) == Rom("ms_pacman")
    assert canonical(name) == "ms_pacman"


def test_the_other_kinds_of_name():
    assert parse_name("CartPole-v1") == Registered("CartPole-v1")
    assert parse_name("no.such.module:thing") == Factory("no.such.module", "thing")


@pytest.mark.parametrize("rom", roms())
def test_canonical_of_a_rom_is_the_rom(rom):
    assert canonical(rom) == rom


def test_canonical_of_every_registered_id_is_a_fixed_point():
    names = {id: canonical(id) for id in gymnasium.registry if ":" not in id}
    assert names["CartPole-v1"] == "CartPole-v1"
    assert names["ALE/Pong-v5"] == names["PongNoFrameskip-v4"] == "pong"
    assert all(canonical(name) == name for name in names.values())


def test_canonical_of_a_factory_is_its_module_and_attribute():
    assert canonical("no.such.module:thing") == "no.such.module:thing"


def test_canonical_of_an_unknown_name_raises():
    with pytest.raises(InputError, match="Did you mean 'pong'"):
        canonical("pnog")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("pnog", "'pong'"),
        ("brakeout", "'breakout'"),
        ("cartpole-v1", "'CartPole-v1'"),
        ("CartPole", "'CartPole-v1'"),
        ("ALE/Pogn-v5", "'pong'"),
    ],
)
def test_an_unknown_name_is_told_its_nearest(name, near):
    with pytest.raises(InputError, match=f"no environment '{name}'. Did you mean {near}") as caught:
        parse_name(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "xyzzy", ":thing", "module:", "module:not a name", "module:a:b", "module:a()"])
def test_nonsense_is_refused(name):
    with pytest.raises(InputError):
        parse_name(name)


def test_a_game_for_two_is_no_environment():
    with pytest.raises(InputError):
        parse_name("combat")


def test_a_fresh_process_knows_the_games():
    code = "from asyncrl.envs.registry import parse_name; print(parse_name('ALE/Pong-v5').name)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "pong"
