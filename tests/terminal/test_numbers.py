"""Numbers that are not finite, or very large, in everything that a terminal shows."""

import io
import math

import pytest

from asyncrl.config import RunConfig
from asyncrl.store import summary
from asyncrl.terminal import live, rendering
from asyncrl.terminal.console import ENDLESS, SafeConsole
from asyncrl.terminal.details import details_page
from asyncrl.terminal.log_lines import line
from asyncrl.training.progress import WorkerView
from tests.past import make_run
from tests.terminal.test_live import PROGRESS
from tests.terminal.test_rendering import render

NUMBERS = [math.nan, math.inf, -math.inf, 1e308, -1e308, 123_456.7, -12_345.6]
NAMES = {math.inf: "inf", 1e308: "1e308", 123_456.7: "123k", 12_345.6: "12,346"}


def name(value):
    return "nan" if math.isnan(value) else "-" * (value < 0) + NAMES[abs(value)]


@pytest.mark.parametrize("value", NUMBERS)
def test_live_view_and_line_show_a_number_by_its_name(value):
    workers = tuple(WorkerView(i, value, 12, value, value, 0.1) for i in range(20))
    progress = PROGRESS._replace(
        frames_per_second=value,
        last_score=value,
        mean_score=value,
        learning_rate=value,
        statistics={"loss": value, "grad_norm": -value},
        workers=workers,
        evaluations=((1, value, value), (2, 1.0, value), (3, value, -value)),
        scores=(value, 1.0, -value, value) * 30,
    )
    console = SafeConsole(file=io.StringIO(), width=80, color_system=None)
    console.print(live.view(RunConfig(threads=20), progress))
    shown = console.file.getvalue()
    assert f"{name(value)} mean of the last 100" in shown
    assert f"eval     {name(value)} ± {name(-value)} at 3" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    assert f"score {name(value)} (last {name(value)})" in line(progress)
    assert line(progress).endswith(f"eval {name(value)}")


@pytest.mark.parametrize("seconds", [0.0, -5.0, math.nan, math.inf, 1e300])
def test_live_view_of_any_clock_does_not_fail(seconds):
    assert line(PROGRESS._replace(seconds=seconds, frames_per_second=1e-300))
    assert render([live.view(RunConfig(), PROGRESS._replace(seconds=seconds, frames_per_second=1e-300))])


@pytest.mark.parametrize("value", [*NUMBERS, None])
def test_show_ls_and_outcome_show_a_number_by_its_name(tmp_path, value):
    found = summary.details(make_run(tmp_path, "mine"))
    for row in found["evaluations"][1:]:
        row |= {"mean": value, "median": value, "std": value}
    found["metrics"] |= {"entropy": value, "loss": value, "learning_rate": value}
    found["workers"] = [{"worker": 0, "games": 3, "last": value, "mean": value, "best": value, "epsilon": value}]
    shown = "–" if value is None else name(value)
    page = render(details_page(found, 100), 100)
    assert page.count(f" {shown}") >= 8
    best = next(row for row in page.splitlines() if row.endswith("best"))
    assert (f" {shown} " in best) == (value in (1e308, 123_456.7))
    assert f"Last evaluation {shown} ± {shown}" in render(rendering.outcome(found))
    (run,) = summary.summaries(tmp_path, None)
    table = render(rendering.runs_table([run | {"evaluation": value, "best": value}], ENDLESS))
    assert table.splitlines()[1].split()[7:9] == [shown, shown]
    rows = [{"task": "pong", "label": "A3C", "id": "mine", "final": value, "best": value, "curve": [value or 0.0, 1.0]}]
    assert f" {shown} " in render(rendering.report(rows, [], tmp_path, 80))
