"""A thousand runs of ten thousand rows each, with known answers: ``pytest -m store -s`` prints how long it took."""

import json
import resource
import subprocess
import sys
import time
from itertools import product

import pandas as pd
import pytest

from asyncrl.analysis import reference_data
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from asyncrl.config import ALGOS
from tests.analysis.stores import stamp, write

pytestmark = [pytest.mark.store, pytest.mark.timeout(1800)]
GAMES = ("alien", "asterix", "beam_rider", "breakout", "enduro", "pong", "qbert", "seaquest", "venture", "zaxxon")
THREADS, SEEDS = (1, 2, 4, 8), (1, 2, 3, 4, 5)
FRAMES, EVALUATIONS, METRICS, EPISODES = 40_000_000, 100, 1_000, 8_900


def percent(algo, seed):
    """Return the final score of a run, in % of a human: 20, 40 … 100 by algorithm, ±4 by seed, on every game."""
    return 20 * (ALGOS.index(algo) + 1) + 2 * (seed - 3)


def speed(threads):
    return 500.0 * threads**0.5


def rows(threads, count, more):
    """Return so many rows at equal distances, as the text of a file."""
    stamps = (stamp(FRAMES // count // 4 * 4 * (i + 1), 4, speed(threads)) for i in range(count))
    return "".join(json.dumps(each | more) + "\n" for each in stamps)


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    """Write the store; the rows of runs with the same number of threads differ in their evaluations alone."""
    root = tmp_path_factory.mktemp("thousand")
    tables = reference_data.references().query("starts == 'no-op'").set_index("game")
    health = {"frames_per_second": 0.0, "learning_rate": 1e-4, "entropy": 1.5, "grad_norm": 2.0, "policy_lag": 0.5}
    game_row = {"worker": 0, "score": 1.0, "length": 100, "epsilon": None, "completed": True}
    for threads in THREADS:
        metrics = rows(threads, METRICS, health | {"frames_per_second": speed(threads)})
        episodes = rows(threads, EPISODES, game_row)
        for game, algo, seed in product(GAMES, ALGOS, SEEDS):
            low, high = tables.at[game, "random"], tables.at[game, "human"]
            final = low + percent(algo, seed) / 100 * (high - low)
            scores = [low + (final - low) * i / EVALUATIONS for i in range(1, EVALUATIONS + 1)]
            settings = {"env": game, "algo": algo, "threads": threads, "seed": seed, "frames": FRAMES}
            run = write(root / "results", f"{game}-{algo}-{threads}-{seed}", scores, fps=speed(threads), **settings)
            (run / "metrics.jsonl").write_text(metrics)
            (run / "episodes.jsonl").write_text(episodes)
    return root


def test_every_statistic_of_a_thousand_runs_is_its_known_value(thousand):
    results, out = thousand / "results", thousand / "report"
    for what in ("first", "again"):
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "asyncrl", "report", "--results", str(results), "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=900)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu, peak = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024
        wall = time.perf_counter() - began
        print(f"\nreport on 1,000 runs, {what} time: {wall:.1f} s ({cpu:.1f} s of a processor), {peak:,.0f} MiB")
    summary = pd.read_csv(out / "tables" / "summary.csv").query("made == 'here'").set_index("method")
    assert len(summary) == len(ALGOS) * len(THREADS)
    assert set(summary["games"]) == {10}
    assert set(summary["runs"]) == {50}
    speedups = pd.read_csv(out / "tables" / "speed-ups.csv").set_index(["variant", "threads"])
    overview = pd.read_csv(out / "tables" / "overview.csv").set_index(["task", "label"])
    for algo, threads in product(ALGOS, THREADS):
        label = f"{algo}, {threads} thread{'s' * (threads > 1)}"
        known = percent(algo, 3)
        row = summary.loc[label]
        assert [row["mean"], row["median"], row["IQM"]] == pytest.approx([known] * 3)
        assert row["optimality gap"] == pytest.approx(100 - known if known < 100 else 100 - (96 + 98 + 3 * 100) / 5)
        assert row["mean_low"] < known < row["mean_high"]
        assert speedups.at[(algo, threads), "speedup"] == pytest.approx(threads**0.5)
        assert overview.at[("pong, atari-paper-noop", label), "frames_per_second"] == pytest.approx(speed(threads))
    better = pd.read_csv(out / "tables" / "improvement.csv").set_index(["label", "over"])
    assert better.at[("a2c, 1 thread", "one-step-q, 1 thread"), "probability"] == 1
    assert better.at[("a3c, 1 thread", "a3c, 2 threads"), "probability"] == pytest.approx(0.5)


def test_a_thousand_runs_of_ten_thousand_rows_are_read(thousand):
    for what in ("first", "again"):
        began = time.perf_counter()
        store = load(Selection(thousand / "results"))
        print(f"\nten million rows, {what} time: {time.perf_counter() - began:.1f} s")
        assert len(store.episodes) == 1_000 * EPISODES
        assert len(store.metrics) == 1_000 * METRICS
        assert len(store.evaluations) == 1_000 * EVALUATIONS
        assert store.problems.empty
        del store
