import math
import tomllib

import pytest

from asyncrl.errors import InputError
from asyncrl.sweeping.declaration import parse
from asyncrl.sweeping.plan import expand
from asyncrl.sweeping.sobol import sobol_points
from asyncrl.sweeping.space import Range, random_point

LR = {"optimizer.lr": Range(1e-4, 1e-2, log=True), "t_max": Range(1, 20)}


def cells(text):
    return expand(parse(tomllib.loads(text)))


def grid(base='env = "CartPole-v1"\nframes = "6k"', vary="", more=""):
    return cells(f"[base]\n{base}\n[vary]\n{vary}\n{more}")


def test_expand_grid_has_each_combination_once():
    found = grid(vary="algo = ['a3c', 'n-step-q']\nthreads = [1, 2]", more="[sweep]\nseeds = 3")
    assert [(cell.varied["algo"], cell.varied["threads"], cell.seed) for cell in found] == [
        (algo, threads, seed) for algo in ("a3c", "n-step-q") for threads in (1, 2) for seed in (1, 2, 3)
    ]
    assert all(cell.config.algo == cell.varied["algo"] and cell.config.seed == cell.seed for cell in found)
    assert len({cell.name for cell in found}) == 12


def test_expand_linked_names_vary_together():
    found = grid(vary="'t_max, envs_per_thread' = [[5, 8], [10, 4]]")
    assert [(cell.config.t_max, cell.config.envs_per_thread) for cell in found] == [(5, 8), (10, 4)]


def test_expand_exclude_removes_cells_with_all_values():
    found = grid(vary="algo = ['a3c', 'n-step-q']\nthreads = [1, 2]", more="[[exclude]]\nalgo = 'a3c'\nthreads = 2")
    assert [(cell.varied["algo"], cell.varied["threads"]) for cell in found] == [
        ("a3c", 1), ("n-step-q", 1), ("n-step-q", 2)
    ]  # fmt: skip


def test_expand_exclude_compares_settings_that_the_file_does_not_set():
    found = grid(vary="gamma = [0.9, 0.99]", more="[[exclude]]\ngamma = 0.9\nthreads = 16")
    assert [cell.varied["gamma"] for cell in found] == [0.99]


def test_expand_everything_excluded_is_refused():
    with pytest.raises(InputError, match="no cells"):
        grid(more="[[exclude]]\nframes = 6000")


def test_identity_same_settings_in_other_words_are_equal():
    one = grid('env = "CartPole-v1"\nframes = "6k"\noptimizer.lr = 1e-3', "t_max = [5]")[0]
    other = grid('frames = 6_000\nenv = "CartPole-v1"', "'optimizer.lr' = [0.001]\n't_max' = [5]")[0]
    assert one.identity == other.identity
    assert one.identity != grid('env = "CartPole-v1"\nframes = "7k"\noptimizer.lr = 1e-3', "t_max = [5]")[0].identity


def test_identity_spellings_of_a_game_are_equal():
    one, other = (cells(f"[base]\nenv = '{env}'\nframes = 4000")[0] for env in ("pong", "ALE/Pong-v5"))
    assert one.identity == other.identity


def test_expand_more_values_and_seeds_keep_the_names_of_old_cells():
    before = {cell.name for cell in grid(vary="threads = [1, 2]", more="[sweep]\nseeds = 2")}
    assert before < {cell.name for cell in grid(vary="threads = [4, 1, 2]", more="[sweep]\nseeds = 3")}


def test_expand_same_cell_twice_is_refused():
    with pytest.raises(InputError, match="same"):
        grid(vary="threads = [1, 1]")


def test_expand_random_has_the_same_draws_for_each_list_value_and_own_seeds():
    text = "[sweep]\nkind='random'\nn=3\nseeds='index'\n[base]\nenv='CartPole-v1'\nframes=6000\n[vary]\n{}\n"
    text += "'optimizer.lr' = {{low=1e-4, high=1e-2, log=true}}"
    found = cells(text.format("algo=['a3c','n-step-q']"))
    rates = [cell.config.optimizer.lr for cell in found]
    assert rates[:3] == rates[3:]
    assert len(set(rates)) == 3
    assert [cell.seed for cell in found] == [1, 2, 3, 1, 2, 3]
    more = cells(text.format("algo=['a3c']").replace("n=3", "n=5"))
    assert [cell.config.optimizer.lr for cell in more][:3] == rates[:3]


def test_random_point_depends_on_seed_and_index_alone():
    assert random_point(LR, 1, 7) == random_point(dict(reversed(LR.items())), 1, 7)
    assert random_point({"t_max": LR["t_max"]}, 1, 7)["t_max"] == random_point(LR, 1, 7)["t_max"]
    assert len({random_point(LR, seed, index)["optimizer.lr"] for seed in (1, 2) for index in (1, 2, 3)}) == 6


def test_random_point_logarithmic_range_is_uniform_in_the_logarithm():
    drawn = [random_point(LR, 1, index) for index in range(1000)]
    assert sum(point["optimizer.lr"] < 1e-3 for point in drawn) == pytest.approx(500, abs=60)
    assert {point["t_max"] for point in drawn} == set(range(1, 21))


def test_sobol_points_larger_n_extends_the_sequence():
    few, many = sobol_points(LR, 1, 8), sobol_points(LR, 1, 16)
    assert many[:8] == few
    assert sobol_points(LR, 2, 8) != few
    # A Sobol sequence has one of eight points in each eighth of the range.
    lowest, highest = math.log10(1e-4), math.log10(1e-2)
    places = [(math.log10(point["optimizer.lr"]) - lowest) / (highest - lowest) for point in few]
    assert sorted(int(8 * place) for place in places) == list(range(8))


@pytest.mark.parametrize(("base", "name"), [("network = 'mlp'", "network"), ("env = 'CartPole-v1'", "env")])
def test_expand_resolved_cell_holds_what_was_set(base, name):
    found = cells(f"[base]\nframes = 6000\n{base}" + ("" if name == "env" else "\nenv = 'CartPole-v1'"))
    assert getattr(found[0].config, name) in base
