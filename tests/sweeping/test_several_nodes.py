"""Sweeps whose runs are to train on several machines each."""

import pytest

SWEEP = '[sweep]\nseeds = 2\n[base]\nenv = "CartPole-v1"\nframes = 300\n[vary]\n"cluster.nodes" = [1, 2]\n'
RUN = ("run", "--env", "CartPole-v1", "--frames", "300", "--nodes", "2")


@pytest.mark.parametrize("words", [("sweep", "mine.toml"), (*RUN, "--seeds", "2")])
def test_sweep_with_several_nodes_for_a_run_is_refused_before_anything_is_written(
    words, tmp_path, monkeypatch, command_line
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(SWEEP)
    code, _, err = command_line(*words)
    assert (code, err.count("\n")) == (2, 1)
    assert "cluster.nodes is 2, but each run of a sweep trains on one machine" in err
    assert not (tmp_path / "results").exists()
