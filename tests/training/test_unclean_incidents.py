"""Incidents with unclean texts, and scores that are not finite, on their way to the store."""

import json
import math

import pytest

from asyncrl.events import Evaluated, Incident, Severity
from asyncrl.store import checkpoint, summary
from asyncrl.store.rows import Writer, read_rows
from asyncrl.training.metrics import Metrics

NAN, INF = math.nan, math.inf


def failure(message, trace=""):
    return Incident(source="worker", severity=Severity.RECOVERED, message=message, traceback=trace, worker=0)


def traceback(line, message):
    return f'Traceback (most recent call last):\n  File "mine.py", line {line}, in step\nValueError: {message}\n'


@pytest.fixture
def book(tmp_path):
    with Writer(tmp_path) as writer:
        yield Metrics(writer, 4, 1_000, 1, {})


def test_a_hundred_equal_failures_keep_one_traceback(book, tmp_path):
    for i in range(100):
        book.add(failure("ValueError", traceback(7, f"{i} {'x' * 5_000}")))
    book.add(failure("ValueError", traceback(8, "elsewhere")))
    traces = [row["traceback"] for row in read_rows(tmp_path, "failures")]
    assert len(traces[0]) > 5_000
    assert set(traces[1:100]) == {"the same lines of code as in the row at 0 frames\n"}
    assert traces[100] == traceback(8, "elsewhere")


def test_hundreds_of_different_failures_keep_failures_small(book, tmp_path):
    for i in range(500):
        book.add(failure("m" * 1_000_000, traceback(i, "x" * 10_000)))
    assert len(read_rows(tmp_path, "failures")) == 500
    assert (tmp_path / "failures.jsonl").stat().st_size < 1_000_000


@pytest.mark.parametrize("unclean", ["caf\udce9", "\x00\x1b[2J", "\ud800" * 1_000_000, "line\n" * 1_000_000])
def test_an_unclean_failure_is_one_short_row_of_strict_utf_8(book, tmp_path, unclean):
    book.add(failure(unclean, unclean))
    data = (tmp_path / "failures.jsonl").read_bytes()
    assert len(data) < 20_000
    (line,) = data.decode("utf-8").splitlines()
    assert len(json.loads(line)["reason"].splitlines()) == 1


@pytest.mark.parametrize(
    ("scores", "mean", "median"),
    [((1.0, NAN), NAN, NAN), ((1.0, INF, 2.0), INF, 2.0), ((INF, -INF), NAN, NAN), ((1e308, 1e308), 1e308, 1e308)],
)
def test_an_evaluation_of_any_scores_is_a_row_of_strict_json(book, tmp_path, scores, mean, median):
    book.write_evaluation(Evaluated(T=4, scores=scores, lengths=(1,) * len(scores)), "gymnasium", "training")
    json.loads((tmp_path / "evaluations.jsonl").read_text(), parse_constant=pytest.fail)
    (row,) = read_rows(tmp_path, "evaluations")
    assert [row["mean"], row["median"], *row["scores"]] == pytest.approx([mean, median, *scores], nan_ok=True)


def test_the_trend_of_huge_scores_is_known():
    found = summary.learning([-1e308] * 100 + [0.0] * 100 + [1e308] * 100 + [NAN, INF])
    assert (found["first"], found["last"], found["has_improved"], found["is_rising"]) == (-1e308, 1e308, True, True)


@pytest.mark.parametrize("score", ["NaN", "Infinity", "-Infinity"])
def test_a_mark_of_a_score_that_is_not_finite_is_no_best(tmp_path, score):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.json").write_text(f'{{"step": 4, "score": {score}}}')
    assert checkpoint.best(tmp_path) is None
