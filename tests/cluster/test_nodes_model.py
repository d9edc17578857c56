"""``benchmarks.nodes``: its arithmetic in cases that can be computed by hand."""

import math

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.nodes import Setting, for_pong, main, measure

ROLLOUT, LINK = 0.01, 0.002


def found(**changes):
    """Return pushes and updates per second, and the sums, of a cluster without jitter."""
    fixed = {"nodes": 1, "workers": 1, "push_every": 1, "rollout": ROLLOUT, "link": 0.0, "max_staleness": 10**6}
    sums = measure(Setting(**fixed | changes))
    return sums.pushes / sums.seconds, sums.updates / sums.seconds, sums


@pytest.mark.parametrize("push_every", [1, 4])
def test_one_node_where_pushes_cost_nothing_has_the_rate_of_a_local_run(push_every):
    pushes, updates, _ = found(workers=8, push_every=push_every)
    assert updates == pytest.approx(8 / ROLLOUT, rel=0.02)
    # all workers end their rollouts at the same time: the first is pushed alone where that is due, then the others
    assert pushes == pytest.approx(2 / ROLLOUT, rel=0.02)


def test_one_worker_that_waits_pays_for_each_part_of_a_push():
    costs = {"delay": 0.001, "server": 0.003, "taking": 0.0005, "receiving": 0.0002}
    _, updates, sums = found(link=LINK, **costs)
    whole = ROLLOUT + 2 * LINK + 2 * 0.001 + 0.003 + 0.0005 + 0.0002
    assert updates == pytest.approx(1 / whole, rel=0.02)
    assert (sums.staleness, sums.dropped, sums.pushed) == (0, 0, sums.pushes)


@pytest.mark.parametrize("push_every", [1, 4])
def test_saturated_link_carries_its_bandwidth_divided_by_the_bytes(push_every):
    pushes, updates, _ = found(nodes=40, workers=2, push_every=push_every, link=LINK)
    assert pushes == pytest.approx(1 / LINK, rel=0.01)
    # workers that do not wait are not slowed down
    assert updates < 0.6 * 80 / ROLLOUT if push_every == 1 else updates == pytest.approx(80 / ROLLOUT, rel=0.01)


def test_saturated_server_applies_as_many_pushes_as_it_can():
    pushes, _, _ = found(nodes=40, link=LINK / 10, server=0.001)
    assert pushes == pytest.approx(1000, rel=0.01)


def test_both_directions_of_the_link_are_used_at_the_same_time():
    alone, _, _ = found(nodes=1, rollout=1e-6, link=LINK)
    many, _, _ = found(nodes=4, rollout=1e-6, link=LINK)
    assert alone == pytest.approx(1 / (2 * LINK), rel=0.01)
    assert many == pytest.approx(1 / LINK, rel=0.01)


def test_workers_that_do_not_wait_push_what_they_have_made_during_the_last_push():
    _, _, sums = found(workers=10, push_every=5, delay=ROLLOUT)
    # a round trip of two rollouts
    assert sums.pushed / sums.pushes == pytest.approx(20, rel=0.1)


def test_few_updates_are_pushed_after_the_time_of_the_agent():
    pushes, updates, sums = found(push_every=1000)
    assert updates == pytest.approx(1 / ROLLOUT, rel=0.02)
    assert sums.pushed / sums.pushes == pytest.approx(5, abs=1)
    assert pushes == pytest.approx(20, rel=0.2)


def test_staleness_of_nodes_in_turn_is_the_number_of_the_others():
    _, _, sums = found(nodes=6, link=LINK)
    assert sums.staleness / sums.pushes == pytest.approx(5, abs=0.1)
    assert sums.lag == sums.staleness


def test_pushes_that_are_too_stale_are_dropped():
    _, updates, sums = found(nodes=6, link=LINK, max_staleness=2)
    assert 0 < sums.dropped < sums.pushes
    assert sums.staleness / sums.pushes < 5
    # they cost as much as others
    assert updates == pytest.approx(found(nodes=6, link=LINK)[1])


def test_for_pong_one_node_and_a_fast_link_is_linear():
    setting = for_pong(nodes=1, workers=16, push_every=20, gigabits=math.inf, delay=0.0, server=0.0)
    assert setting.link == 0
    sums = measure(setting)
    assert sums.updates / sums.seconds == pytest.approx(16 / setting.rollout, rel=0.02)
    gigabit = for_pong(nodes=1, workers=16, push_every=20, gigabits=1.0, delay=0.0, server=None)
    assert gigabit.link == pytest.approx(0.0217, rel=0.01)


def test_one_worker_that_waits_pays_for_two_round_trips_with_shards():
    costs = {"delay": 0.001, "server": 0.003, "taking": 0.0005, "receiving": 0.0002}
    _, updates, _ = found(link=LINK, shards=4, **costs)
    assert updates == pytest.approx(1 / (ROLLOUT + 4 * LINK + 4 * 0.001 + 2 * 0.003 + 0.0005 + 0.0002), rel=0.05)


def test_for_pong_shards_divide_the_link_and_the_work_of_the_server():
    one, four = (for_pong(40, 1, 1, gigabits=1.0, delay=0.0, server=0.004, shards=shards) for shards in (1, 4))
    assert (four.link, four.server) == (one.link / 4, 0.001)
    sums = [measure(each) for each in (one, four)]
    assert [each.pushes / each.seconds for each in sums] == pytest.approx([1 / one.link, 4 / one.link], rel=0.02)


@pytest.fixture
def command():
    """Return a function that runs the benchmark's command line."""
    app = typer.Typer()
    app.command()(main)
    return lambda *words: CliRunner().invoke(app, words)


def test_command_prints_a_row_for_each_combination(command):
    result = command("--links", "10,2.5", "--push-every", "5", "--nodes", "1,2", "--threads", "2", "--server", "1")
    cells = [line.split(" | ")[:3] for line in result.stdout.splitlines()[2:]]
    assert cells == [["| 10", "5", "1"], ["| 10", "5", "2"], ["| 2.5", "5", "1"], ["| 2.5", "5", "2"]]


@pytest.mark.parametrize(
    "words",
    [("--links", "0"), ("--links", "nan"), ("--links", "x"), ("--push-every", "1.5"), ("--nodes", "1,,2"),
     ("--nodes", "-1"), ("--threads", "0"), ("--delay", "-1"), ("--server", "-1"), ("--shards", "0")],
)  # fmt: skip
def test_command_with_a_number_that_is_not_possible_is_refused(command, words):
    result = command(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
