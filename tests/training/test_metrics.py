"""The logbook: rows that add up, rates that mean what they say, and a clock that stands still while the workers do."""

import math
from itertools import pairwise

import pytest

from asyncrl.events import EpisodeEnd, Evaluated, Incident, Interval, Severity
from asyncrl.store.document import PROGRESS_COLUMNS
from asyncrl.store.rows import Writer, read_rows
from asyncrl.training import meters, metrics
from asyncrl.training.meters import Clock, Curve
from asyncrl.training.metrics import Metrics, evaluation_row
from tests.clock import Time

STAMP = set(PROGRESS_COLUMNS)


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(metrics, "time", time)
    monkeypatch.setattr(meters, "time", time)
    return time


@pytest.fixture
def book(tmp_path, time):
    """Return the logbook of two workers, four frames a step, 1,000 steps."""
    with Writer(tmp_path) as writer:
        yield Metrics(writer, 4, 1_000, 2, {})


def end(worker=0, score=1.0, length=10, T=50, updates=9, epsilon=None, completed=True):
    return EpisodeEnd(worker, score, length, T, updates, epsilon, completed)


def interval(worker=0, steps=100, updates=20, skipped=0, T=100, applied=20, seconds=(), **sums):
    return Interval(worker, steps, updates, skipped, sums, T, applied, dict(seconds))


def test_the_clock_counts_only_while_it_goes(time):
    clock = Clock(5.0)
    time.now += 100
    assert clock.seconds == 5
    clock.start()
    time.now += 2
    clock.start()  # it goes already
    time.now += 1
    assert clock.seconds == 8
    clock.stop()
    time.now += 100
    clock.stop()
    assert clock.seconds == 8
    clock.start()
    time.now += 1
    assert clock.seconds == 9


def test_curve_when_full_keeps_every_second_point():
    curve = Curve(8)
    for value in range(100):
        curve.append(float(value))
        assert len(curve.points) < 8
    steps = {after - before for before, after in pairwise(curve.points)}
    assert curve.points[0] == 0
    assert steps == {16.0}


def test_a_game_is_one_row_in_frames_and_steps(book, tmp_path, time):
    book.clock.start()
    time.now += 1.23456
    book.add(end(1, -21.0, 900, T=50, epsilon=0.3, completed=False))
    book.write_episodes()
    assert read_rows(tmp_path, "episodes") == [
        {"frames": 200, "steps": 50, "updates": 9, "seconds": 1.235, "worker": 1, "score": -21.0, "length": 900}
        | {"epsilon": 0.3, "completed": False}
    ]


def test_what_went_wrong_in_earlier_sessions_counts_on(tmp_path):
    with Writer(tmp_path) as writer:
        book = Metrics(writer, 4, 1_000, 2, {"skipped": 7, "restarts": 3})
        book.add(interval(skipped=2))
        book.add(Incident("worker", Severity.RECOVERED, "died", worker=0, is_replaced=True))
        book.add(Incident("weights", Severity.RECOVERED, "back to those of step 5"))
        book.write()
    (row,) = read_rows(tmp_path, "metrics")
    assert book.health() == {"skipped": 9, "restarts": 4} == {name: row[name] for name in ("skipped", "restarts")}
    view = book.progress("training", 1)
    assert (view.skipped, view.restarts) == (9, 4)


def test_a_row_of_metrics_holds_means_per_update_over_all_workers(book, tmp_path, time):
    book.clock.start()
    book.learning_rate = 7e-4
    book.add(interval(0, updates=20, T=90, applied=20, loss=40.0, entropy=20.0))
    book.add(interval(1, updates=30, skipped=2, T=200, applied=55, loss=10.0, entropy=30.0))
    time.now += 10
    book.write()
    time.now += 10
    book.add(interval(0, updates=10, skipped=1, T=300, applied=65, loss=5.0))
    book.write()
    first, second = read_rows(tmp_path, "metrics")
    assert first == {
        "frames": 800, "steps": 200, "updates": 55, "seconds": 10, "frames_per_second": 80,
        "learning_rate": 7e-4, "skipped": 2, "restarts": 0, "loss": 1.0, "entropy": 1.0,
    }  # fmt: skip
    assert (second["frames_per_second"], second["updates"], second["skipped"], second["loss"]) == (40, 65, 3, 0.5)
    assert "entropy" not in second


def test_a_profiled_row_holds_microseconds_per_step(book, tmp_path):
    book.add(interval(0, steps=100, T=300, seconds={"act": 0.02, "learn": 0.1}))
    book.add(interval(1, steps=200, T=300, seconds={"act": 0.04}))
    book.write()
    book.add(interval(0, steps=10, T=310, seconds={"act": 0.01}))
    book.write()
    first, second = read_rows(tmp_path, "metrics")
    assert (first["act_us"], first["learn_us"]) == (pytest.approx(200), pytest.approx(1e5 / 300))
    assert second["act_us"] == pytest.approx(1_000)
    assert "learn_us" not in second


def test_an_interval_in_which_nothing_happened_is_no_row(book, tmp_path, time):
    book.write()
    book.add(interval(updates=0, steps=0, T=0))
    book.write()
    assert read_rows(tmp_path, "metrics") == []


def test_a_rate_is_over_all_the_time_since_the_last_row(book, tmp_path, time):
    book.clock.start()
    time.now += 10
    book.write()  # nothing to say yet
    time.now += 10
    book.add(interval(T=100))
    book.write()
    assert read_rows(tmp_path, "metrics")[0]["frames_per_second"] == pytest.approx(100 * 4 / 20)


def test_time_spent_parked_is_in_no_rate(book, tmp_path, time):
    book.clock.start()
    for pause in (0, 100):
        time.now += 10
        for worker in (0, 1):
            book.add(interval(worker, 100, T=200))
        book.clock.stop()
        time.now += pause
        book.restart_rates()
        book.clock.start()
    time.now += 10
    book.add(interval(0, 100, T=500))
    book.write()
    (row,) = read_rows(tmp_path, "metrics")
    assert row["seconds"] == 30
    assert row["frames_per_second"] == pytest.approx(500 * 4 / 30)
    assert [view.steps_per_second for view in book.progress("training", 500).workers] == [10, 10]


def test_numbers_that_are_not_finite_are_read_as_they_were_written(book, tmp_path, time):
    book.add(interval(updates=1, skipped=1, loss=math.nan))
    book.add(end(score=math.nan))
    book.write_episodes()
    book.write()
    assert math.isnan(read_rows(tmp_path, "metrics")[0]["loss"])
    assert math.isnan(read_rows(tmp_path, "episodes")[0]["score"])


def test_a_resumed_run_counts_on(tmp_path, time):
    with Writer(tmp_path) as writer:
        book = Metrics(writer, 4, 1_000, 1, {"steps": 400, "updates": 80, "seconds": 33.0, "frames": 1_600})
        book.clock.start()
        time.now += 2
        book.add(interval(T=500, applied=100))
        book.write()
    (row,) = read_rows(tmp_path, "metrics")
    assert {name: row[name] for name in STAMP} == {"frames": 2_000, "steps": 500, "updates": 100, "seconds": 35}
    assert row["frames_per_second"] == pytest.approx(100 * 4 / 2)


def test_an_evaluation_is_one_row_with_every_score(book, tmp_path, time):
    row = book.write_evaluation(Evaluated(250, (1.0, 2.0, 6.0), (10, 20, 60)), "gymnasium", "training")
    assert read_rows(tmp_path, "evaluations") == [row]
    expected = {
        "kind": "training",
        "protocol": "gymnasium",
        "episodes": 3,
        "scores": [1, 2, 6],
        "lengths": [10, 20, 60],
    }
    assert {name: row[name] for name in expected} == expected
    assert (row["mean"], row["median"], row["std"]) == (3, 2, pytest.approx(math.sqrt(14 / 3)))
    assert (row["frames"], row["steps"]) == (1_000, 250)
    assert book.progress("evaluating", 250).evaluations == ((1_000, 3.0, row["std"]),)
    assert evaluation_row(Evaluated(250, (1.0,), (10,)), "gymnasium", "eval")["std"] == 0


def test_the_view_shows_each_worker_and_all_together(book, time):
    for score in range(150):
        book.add(end(0, float(score), epsilon=0.2))
    book.add(end(1, -5.0))
    for seconds, steps in ((5, 100), (2, 100), (2, 200)):  # a worker's first interval contains the start of its process
        time.now += seconds
        book.add(interval(0, steps, T=300, updates=1, loss=3.0))
    book.write()
    view = book.progress("training", 300)
    assert (view.frames, view.budget, view.episodes, view.last_score) == (1_200, 4_000, 151, -5.0)
    assert view.mean_score == pytest.approx((sum(range(51, 150)) - 5) / 100)
    one, other = view.workers
    assert (one.worker, one.episodes, one.last_score, one.epsilon) == (0, 150, 149.0, 0.2)
    assert one.mean_score == pytest.approx(sum(range(50, 150)) / 100)
    assert one.steps_per_second == pytest.approx(0.8 * 50 + 0.2 * 100)
    assert (other.episodes, other.steps_per_second, other.epsilon) == (1, 0, None)
    assert view.frames_per_second == pytest.approx(4 * one.steps_per_second)
    assert view.statistics == {"loss": 3.0}


def test_the_view_before_anything_has_happened(book):
    view = book.progress("starting", 0)
    assert (view.last_score, view.mean_score, view.frames_per_second, view.evaluations) == (None, None, 0, ())


def test_skipped_gradients_are_told_even_where_none_was_applied(book, tmp_path, time):
    book.clock.start()
    time.now += 10
    book.add(interval(updates=0, skipped=20, T=100, applied=0))
    book.write()
    (row,) = read_rows(tmp_path, "metrics")
    assert (row["skipped"], row["updates"], "loss" in row) == (20, 0, False)


INCIDENT = Incident("worker", Severity.FATAL, "ValueError: broken", "Traceback", worker=0)


def test_a_failure_is_one_row_and_counts_where_a_worker_was_replaced(book, tmp_path):
    book.add(interval(T=100))
    book.add(INCIDENT._replace(worker=1, severity=Severity.RECOVERED, seeds=(7, 8), steps=95, is_replaced=True))
    book.add(Incident("weights", Severity.RECOVERED, "theta held no numbers"))
    book.add(INCIDENT)
    rows = read_rows(tmp_path, "failures")
    assert [(row["frames"], row["worker"], row["is_final"]) for row in rows] == [
        (400, 1, False), (400, -1, False), (400, 0, True)
    ]  # fmt: skip
    assert {row["steps"] for row in rows} == {100}  # of the run, not of the environment that failed
    assert (rows[0]["reason"], rows[0]["traceback"], rows[0]["seeds"]) == ("ValueError: broken", "Traceback", [7, 8])
    assert book.progress("training", 100).restarts == 1
