"""CartPole-v1 on two nodes of Ray: the score that two local workers reach, on four of five seeds."""

import pytest

from tests.cluster.commands import rows, started
from tests.runtime.setups import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

SEEDS, ENOUGH = range(1, 6), 4
FRAMES, WANTED = 250_000, 450  # of tests/learning/test_cartpole.py
SETTINGS = {"cluster__push_every": 1, "evaluation__every": FRAMES // 20, "evaluation__episodes": 10}


def best(root, seed):
    """Return the highest mean score of the evaluations of a run, which ends when the score is reached."""
    name = f"seed-{seed}"
    words = "run", "--env", "CartPole-v1", "--threads", 1, "--frames", FRAMES, "--seed", seed, "--name", name
    path = root / "results" / name

    def means():
        return [row["mean"] for row in rows(path, "evaluations")]

    with started(root, *words, "--on", "ray", "--nodes", 2, **SETTINGS) as driver:
        assert wait_until(lambda: driver.poll() is not None or max(means(), default=0) >= WANTED, 1500)
    return max(means())


def test_pole_is_balanced_on_two_nodes(nodes, tmp_path):
    machines = [nodes.add(cores=2) for _ in range(2)]
    scores = [best(tmp_path, seed) for seed in SEEDS]
    for machine in machines:
        nodes.remove(machine)
    assert sum(score >= WANTED for score in scores) >= ENOUGH, scores
