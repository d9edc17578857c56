"""``--on ray`` where it is misspelt, or Ray is not installed; archives of cells."""

import sys

import pytest

from asyncrl.sweeping.cell_process import pack, unpack

GRID = '[sweep]\nseeds = 2\n[base]\nenv = "CartPole-v1"\nframes = 300\n'


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ("ray", "This needs ray: pip install 'asyncrl[cluster]'."),
        ("ray://head:10001", "This needs ray: pip install 'asyncrl[cluster]'."),
        ("dask", "--on takes ray, or ray://HOST:PORT of a cluster's head; got 'dask'."),
        ("ray://head", "--on takes ray, or ray://HOST:PORT"),
        ("ray://a b:1\x1b[2J", "--on takes ray, or ray://HOST:PORT"),
    ],
)
def test_sweep_on_ray_that_cannot_be_is_one_line_and_writes_nothing(tmp_path, monkeypatch, command_line, on, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "mine.toml").write_text(GRID)
    code, _, err = command_line("sweep", "mine.toml", "--on", on)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
    assert "\x1b" not in err
    assert not (tmp_path / "results").exists()


def test_unpack_replaces_the_directory_and_leaves_nothing_else(tmp_path):
    node, driver = tmp_path / "node", tmp_path / "driver"
    for root, text in ((node, "new"), (driver, "old")):
        (root / "cell/checkpoints").mkdir(parents=True)
        (root / "logs").mkdir()
        (root / "cell/run.json").write_text(text)
        (root / "logs/cell.log").write_text(text)
    (driver / "cell/left-over").touch()
    (driver / "logs/other.log").touch()
    unpack(pack(node, "cell"), driver)
    assert sorted(path.name for path in driver.iterdir()) == ["cell", "logs"]
    assert sorted(path.name for path in (driver / "cell").iterdir()) == ["checkpoints", "run.json"]
    assert (driver / "cell/run.json").read_text() == "new"
    assert (driver / "logs/cell.log").read_text() == "new"
    assert (driver / "logs/other.log").exists()


def test_pack_without_a_directory_is_nothing(tmp_path):
    assert pack(tmp_path, "cell") is None
