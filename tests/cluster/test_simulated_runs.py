"""``asyncrl run --clock simulated --nodes N``: rows, repetition, resume."""

import json

import pytest

from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from tests.cluster.commands import same

WORDS = ["run", "--env", "CartPole-v1", "--threads", "2", "--nodes", "2", "--clock", "simulated", "--algo", "a3c"]
SETTINGS = ("evaluation.episodes=0", "checkpoints.every=400", "cluster.push_every=3", "t_max=5")
WORDS += [word for setting in SETTINGS for word in ("--set", setting)]


@pytest.fixture
def train(tmp_path, monkeypatch, command_line):
    """Return a function that trains a run in simulated time on two nodes, and returns its directory."""
    monkeypatch.chdir(tmp_path)

    def train(name, *words, frames=800):
        code, _, err = command_line(*WORDS, "--frames", str(frames), "--name", name, *words)
        assert code == 0, err
        return tmp_path / "results" / name

    return train


@pytest.fixture
def one(train):
    """Return a run of 800 frames."""
    return train("one")


def test_simulated_run_on_nodes_repeats_and_counts_pushes(train, one):
    assert same(one, train("two"))
    document = read_document(one)
    assert (document["clock"], document["status"]) == ("simulated", "finished")
    rows = read_rows(one, "metrics")
    assert sum(row.get("pushes_applied", 0) for row in rows) == document["updates"]
    assert sum(count for row in rows for name, count in row.items() if name.startswith("staleness_")) > 20
    assert {row["worker"] for row in read_rows(one, "episodes")} == {0, 1, 2, 3}


@pytest.mark.faults
def test_simulated_run_on_nodes_is_resumed_as_if_it_had_not_stopped(train, one, command_line):
    whole = train("whole", "--set", "optimizer.anneal=false", frames=1200)
    part = train("part", "--set", "optimizer.anneal=false", frames=400)
    code, _, err = command_line("resume", "part", "--frames", "1200")
    assert code == 0, err
    assert same(part, whole)


@pytest.mark.faults
def test_simulated_run_on_nodes_with_a_slow_network_takes_longer(train, one):
    slow = train("slow", "--set", "simulated.network_delay_ms=20", "--set", "cluster.push_every=1")
    assert read_document(slow)["seconds"] > 3 * read_document(one)["seconds"]


def test_simulated_run_without_a_link_setting_reads_none(train, command_line):
    code, out, _ = command_line(*WORDS, "--set", "simulated.network_gbps=none", "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["simulated"]["network_gbps"] is None
