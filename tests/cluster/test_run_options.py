"""``asyncrl run --nodes`` where it cannot be."""

import sys

import pytest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nodes", "2"], "cluster.nodes is 2: train this run on a cluster, with --on ray, or in simulated time"),
        (["--nodes", "2", "--on", "ray"], "This needs ray: pip install 'asyncrl[cluster]'."),
        (["--nodes", "2", "--on", "slurm"], "--on takes ray, or ray://HOST:PORT"),
        (["--nodes", "0", "--on", "ray"], "cluster.nodes"),
        (["--nodes", "2", "--on", "ray", "--algo", "a2c"], "cluster.nodes is 2, but a2c uses one node"),
        (["--nodes", "2", "--on", "ray", "--clock", "simulated"], "clock is simulated: such a run is one process"),
        (["--on", "ray", "--clock", "simulated"], "clock is simulated: such a run is one process"),
        (["--nodes", "2", "--clock", "simulated", "--set", "simulated.delay=3"], "simulated.delay is for one node"),
        (["--nodes", "2", "--clock", "simulated", "--set", "simulated.cores=3"], "simulated.cores is for one node"),
        (
            ["--nodes", "2", "--clock", "simulated", "--set", "cluster.shards=3"],
            "simulated nodes have one parameter server",
        ),
        (["--nodes", "2", "--clock", "simulated", "--set", "simulated.network_gbps=0"], "simulated.network_gbps"),
    ],
)
def test_run_on_nodes_that_cannot_be_is_one_line_and_writes_nothing(
    tmp_path, monkeypatch, command_line, options, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = command_line("run", "--env", "CartPole-v1", "--threads", "1", "--frames", "300", *options)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
    assert not (tmp_path / "results").exists()
