"""Rates of workers and of the run, over intervals of any length."""

import pytest

from asyncrl.store.rows import Writer, read_rows
from asyncrl.training import meters, metrics
from asyncrl.training.metrics import Metrics
from tests.clock import Time
from tests.training.test_metrics import interval


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(metrics, "time", time)
    monkeypatch.setattr(meters, "time", time)
    return time


@pytest.mark.parametrize("gap", [0.0, 1e-6, 0.001, 0.1])
def test_rate_of_a_worker_is_not_measured_over_next_to_no_time(tmp_path, time, gap):
    with Writer(tmp_path) as writer:
        found = Metrics(writer, 1, 10_000, 1, {})
        for steps in (100, 50, 50, 50):
            time.now += 0.5
            found.add(interval(0, steps, T=100))
        time.now += gap
        found.add(interval(0, 20, T=100))  # the last report of a run that is stopped
        (worker,) = found.progress("done", 100).workers
    assert worker.steps_per_second == pytest.approx(100)


def test_rate_of_a_worker_counts_the_steps_of_short_intervals(tmp_path, time):
    with Writer(tmp_path) as writer:
        found = Metrics(writer, 1, 10_000, 1, {})
        for _ in range(100):
            time.now += 0.01
            found.add(interval(0, 1, T=100))
        (worker,) = found.progress("training", 100).workers
    assert worker.steps_per_second == pytest.approx(100)


@pytest.mark.parametrize("gap", [0.0, 1e-6, 0.01])
def test_last_row_over_next_to_no_time_has_the_rate_of_the_row_before(tmp_path, time, gap):
    with Writer(tmp_path) as writer:
        found = Metrics(writer, 4, 10_000, 1, {})
        found.clock.start()
        time.now += 5
        found.add(interval(0, 500, T=500))
        found.write()
        time.now += gap
        found.add(interval(0, 20, T=520))
        found.write()
    assert [row["frames_per_second"] for row in read_rows(tmp_path, "metrics")] == [400.0, 400.0]


def test_only_row_of_a_very_short_run_has_no_absurd_rate(tmp_path, time):
    with Writer(tmp_path) as writer:
        found = Metrics(writer, 1, 50, 1, {})
        found.clock.start()
        time.now += 1e-4
        found.add(interval(0, 50, T=50))
        found.write()
    assert read_rows(tmp_path, "metrics")[0]["frames_per_second"] <= 200
