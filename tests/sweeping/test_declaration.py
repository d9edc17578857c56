import tomllib

import pytest

from asyncrl.errors import InputError
from asyncrl.sweeping import files
from asyncrl.sweeping.declaration import parse, parse_seeds, read
from asyncrl.sweeping.plan import expand
from asyncrl.sweeping.run import Request, preview

BASE = '[base]\nenv = "CartPole-v1"\nframes = "6k"\n'
SEARCH = "[sweep]\nkind = 'optuna'\nn = 3\n[vary]\nt_max = [5]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[swep]\nseeds = 1", r"no table \[swep\]. Did you mean 'sweep'"),
        ("sweep = 3", r"sweep must be a table"),
        ("[exclude]\nalgo = 'a3c'", r"exclude must be a table, written \[\[exclude\]\]"),
        ("[sweep]\nkinds = 1", "no setting 'kinds' in .*Did you mean 'kind'"),
        ("[sweep]\nkind = 'gird'", r"kind should be 'grid'"),
        ("[sweep]\nseeds = 0", "seeds needs between 1 and"),
        ("[sweep]\nseeds = [1, 1]", "seeds has a seed twice"),
        ("[sweep]\nseeds = 'x'", "seeds takes a number of seeds"),
        ("[sweep]\nseeds = true", "seeds takes a number of seeds"),
        ("[sweep]\nn = 4", "n is for random, sobol and optuna"),
        ("[sweep]\nkind = 'random'\n[vary]\n'optimizer.lr' = {low = 1e-4, high = 1e-2}", "needs n"),
        ("[sweep]\nkind = 'random'\nn = 3\n[vary]\nalgo = ['a3c']", "needs a range"),
        ("[vary]\n'optimizer.lr' = {low = 1e-4, high = 1e-2}", "draws optimizer.lr from a range, which a grid cannot"),
        ("[sweep]\nkind = 'optuna'\nn = 3\n[vary]\nenv = ['pong', 'breakout']", "needs a setting in .vary. to search"),
        ("[sweep]\nseeds = 'index'", "is for random and sobol"),
        ("[vary]\n'optimiser.lr' = [1]", "no setting 'optimiser.lr' in .vary..*optimizer.lr"),
        ("[vary]\nlr = [1]", "no setting 'lr'"),
        ("[vary]\nseed = [1, 2]", r"\[vary\] has a seed; write seeds"),
        ("[base]\nseed = 3", r"\[base\] has a seed; write seeds"),
        ("[base]\nalgo = 'a3c'\n[vary]\nalgo = ['a3c']", r"algo is in \[base\] and in \[vary\]"),
        ("[vary]\nalgo = 'a3c'", "takes a list of values"),
        ("[vary]\nalgo = []", "takes a list of values"),
        ("[vary]\n'algo, t_max' = [['a3c', 5], ['a3c']]", "links algo, t_max: each of its values is a list of 2"),
        ("[vary]\n'algo, t_max' = [['a3c', 5]]\nt_max = [5]", "has t_max twice"),
        ("[sweep]\nkind='random'\nn=1\n[vary]\n'optimizer.lr' = {low = 1e-2, high = 1e-4}", "needs low < high"),
        ("[sweep]\nkind='random'\nn=1\n[vary]\n'optimizer.lr' = {low = 0, high = 1, log = true}", "larger than 0"),
        ("[sweep]\nkind='random'\nn=1\n[vary]\n'optimizer.lr' = {low = 'a', high = 1}", "needs numbers low and high"),
        ("[sweep]\nkind='random'\nn=1\n[vary]\n'optimizer.lr' = {low = nan, high = 1}", "needs numbers low and high"),
        ("[sweep]\nkind='random'\nn=1\n[vary]\n'optimizer.lr' = {low = 1, high = 2, step = 1}", "has no 'step'"),
        ("[sweep]\nseeds = '1-3, 9-7'", "seeds has a range that ends before it begins: 9-7"),
        ("[sweep]\nsampler = 'gp'", "sampler is for searches"),
        ("[sweep]\npruner = 'none'", "pruner is for searches"),
        (SEARCH + "'env, frames' = [['pong', 1000]]", "links env, frames, but each trial .* write env = "),
        (SEARCH + "[[exclude]]\ngamma = 1", r"\[\[exclude\]\] is for sweeps with a list of cells"),
        ("[[exclude]]", "would remove every cell"),
        ("[[exclude]]\nalgoo = 'a3c'", "no setting 'algoo'"),
    ],
)
def test_parse_wrong_file_names_the_mistake(text, message):
    with pytest.raises(InputError, match=message):
        parse(tomllib.loads(text))


@pytest.mark.parametrize(
    ("written", "seeds"),
    [(3, (1, 2, 3)), ([4, 2], (4, 2)), ("1-3", (1, 2, 3)), ("1-2, 8", (1, 2, 8)), ("7", (7,)), ("index", "index")],
)
def test_parse_seeds_every_form_gives_its_numbers(written, seeds):
    assert parse_seeds(written) == seeds


def test_read_wrong_file_names_the_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[vary]\nlr = [1]")
    with pytest.raises(InputError, match=r"mine\.toml: There is no setting 'lr'"):
        read(file)


def test_expand_invalid_cell_names_the_cell():
    with pytest.raises(InputError, match=r"optimizer.lr.*greater than 0.*In the cell with optimizer.lr=-1"):
        expand(parse(tomllib.loads(BASE + "[vary]\n'optimizer.lr' = [1e-3, -1]")))


@pytest.mark.parametrize("name", [name for name in files.shipped() if "/" in name or "search" in name])
def test_shipped_small_sweep_is_valid(name, tmp_path):
    found, path = files.find(name)
    plan = preview(Request(read(path), path.read_text(), tmp_path / found))
    assert plan["frames_left"] > 0


@pytest.mark.parametrize(
    ("name", "runs", "frames"),
    [
        ("figure1", 5 * 4 * 50, 40e6),
        ("figure2", 5 * 4 * 50, 40e6),
        ("figure3-4", 5 * 4 * 7 * 10, 40e6),
        ("figure-s5", 3 * 2 * 4 * 50, 40e6),
        pytest.param("table-s3", 57 * 2 * 3, 320e6, marks=pytest.mark.faults),
    ],
)
def test_shipped_sweep_of_the_paper_has_its_runs(name, runs, frames):
    cells = expand(read(files.find(name)[1]))
    assert len(cells) == runs
    assert {cell.config.frames for cell in cells} == {frames}
    assert len({cell.identity for cell in cells}) == runs


def test_find_unknown_sweep_names_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'figure2'"):
        files.find("figure22")
