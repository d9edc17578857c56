import io
import math

import pytest
from rich.console import Console

from asyncrl.config import RunConfig
from asyncrl.system.output import Output
from asyncrl.terminal import live
from asyncrl.terminal.log_lines import LogLines, line
from asyncrl.training.progress import Progress, WorkerView
from tests.limits import full

PROGRESS = Progress(
    phase="training",
    frames=1_234_000,
    budget=10_000_000,
    seconds=350.0,
    frames_per_second=3_512.3,
    episodes=412,
    last_score=-19.0,
    mean_score=-20.14,
    learning_rate=6.1e-4,
    statistics={"entropy": 1.77, "grad_norm": 0.42, "loss": 0.123},
    workers=tuple(WorkerView(i, 54.9, 12, -21.0, -20.1, 0.1) for i in range(4)),
    evaluations=((500_000, -20.6, 0.4), (1_000_000, -20.4, 0.5)),
)
CONFIG = RunConfig()
EMPTY = Progress("starting", 0, 1_000, 0.0, 0.0, 0, None, None, 7e-4, {}, (), ())


class Terminal(io.StringIO):
    def isatty(self):
        return True


def render(progress, config=CONFIG, width=80):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(live.view(config, progress))
    return console.file.getvalue()


def workers(n):
    return PROGRESS._replace(workers=tuple(WorkerView(i, 10.0, 2, -21.0, float(i), None) for i in range(n)))


@pytest.mark.parametrize("scores", [(), (1.0, math.nan, math.inf), tuple(range(480))])
@pytest.mark.parametrize("n", [0, 1, 2, 5, 6, 7, 8, 9, 16, 17, 1024])
def test_the_view_fits_80_columns_and_24_rows(n, scores):
    long = {"statistics_of_no_small_length": 1.23456e-7, **PROGRESS.statistics, "another_long_one": -1e9}
    config = RunConfig(env="some.rather.long.package.name:make_the_environment", threads=max(n, 1), envs_per_thread=16)
    progress = workers(n)._replace(statistics=long, evaluations=tuple((i, i * 1e4, 1e5) for i in range(99)))
    progress = progress._replace(
        skipped=10**9,
        restarts=10**9,
        lost=10**9,
        scores=scores,
        store_problem="Disk quota exceeded " * 5,
        pushes=PUSHES,
    )
    lines = render(progress, config).splitlines()
    assert len(lines) <= 23  # a terminal's last row is the cursor's
    assert max(map(len, lines)) <= 80


PUSHES = {"pushes_applied": 30.0, "pushes_empty": 8.0, "staleness_0": 16.0, "staleness_1": 10.0, "staleness_4": 4.0}


@pytest.mark.parametrize(
    ("nodes", "more", "expected"),
    [
        (2, {}, "30 pushes/s   staleness ≤ 0 in half, ≤ 7 in all   110 · 110 steps/s"),
        (2, {"staleness_1": 30.0}, "30 pushes/s   staleness ≤ 1 in half, ≤ 7 in all   110 · 110 steps/s"),
        (1, {}, "30 pushes/s   staleness ≤ 0 in half, ≤ 7 in all   220 steps/s"),
    ],
)
def test_the_views_of_a_run_on_nodes_have_their_rates_and_staleness(nodes, more, expected):
    progress = PROGRESS._replace(pushes=PUSHES | more)
    text = render(progress, RunConfig(threads=2, cluster={"nodes": nodes}))
    assert f"nodes    {expected}" in text
    assert ("2 nodes × 2 threads" in text) == (nodes == 2)
    assert expected.rpartition("   ")[0].replace("   ", "  ") in line(progress)


def test_the_views_of_a_run_on_many_nodes_name_refused_pushes():
    pushes = {"pushes_stale": 1.5, "pushes_not_current": 0.5, "pushes_empty": 1.0}
    progress = PROGRESS._replace(workers=PROGRESS.workers * 2, pushes=pushes)
    text = render(progress, RunConfig(threads=1, cluster={"nodes": 8}))
    assert "nodes    2 pushes/s   2/s refused: not current, stale   55 · 55 · 55 · 55 · 2…" in text
    assert "2 pushes/s  2/s refused: not current, stale" in line(progress)
    assert "nodes" not in render(PROGRESS)


def test_the_view_says_what_matters():
    text = render(PROGRESS)
    for part in ("a3c on pong", "16 threads", "12.3%", "1.23M of 10M frames", "3,512 frames/s", "5:50", "41:36 left"):
        assert part in text
    for part in ("-20.1 mean of the last 100", "-19 last", "412 in total", "-20.4 ± 0.5 at 1M", "▁█"):
        assert part in text
    assert "lr 6.1e-4  loss 0.123  entropy 1.77  grad 0.42" in text
    assert "health" not in text


def test_the_view_and_the_line_say_what_went_wrong():
    ill = PROGRESS._replace(skipped=1, restarts=2)
    assert "health   2 workers replaced, 1 update skipped" in render(ill)
    assert line(ill).endswith("2 workers replaced  1 update skipped")
    full = PROGRESS._replace(store_problem="No space left on device", lost=3)
    assert "health   3 rows lost, cannot save: No space left on device" in render(full)
    assert line(full).endswith("3 rows lost  cannot save: No space left on device")


def test_the_view_draws_the_scores_of_training_games():
    rows = render(workers(2)._replace(scores=tuple(range(-21, 22)))).splitlines()
    top, bottom = (next(row for row in rows if row.lstrip(" ").startswith(mark)) for mark in ("21  ", "-21  "))
    assert rows.index(bottom) - rows.index(top) == live.CURVE_ROWS - 1
    assert top.rstrip().endswith("█")
    assert top.count("█") < bottom.count("█")
    assert "▁" in bottom


def test_the_view_of_a_run_that_has_not_begun():
    text = render(EMPTY)
    assert "none finished yet" in text
    assert "no rate yet" in text
    assert "none made yet" in text
    assert "–" not in text


def test_every_worker_of_sixteen_has_a_row_and_more_are_summed_up():
    sixteen = render(workers(16))
    assert all(f" {i}  " in sixteen for i in range(16))
    forty = render(workers(40))
    rest = next(row for row in forty.splitlines() if "+25" in row)
    assert rest.split()[-4:] == ["+25", "250", "50", "27"]  # steps/s and games in all; mean of 15 … 39


def test_a_line_says_where_a_run_stands():
    assert line(PROGRESS) == (
        "12.3%  1.23M/10M frames  3,512 f/s  41:36 left  score -20.1 (last -19)  "
        "lr 6.1e-4  loss 0.123  entropy 1.77  grad 0.42  eval -20.4"
    )
    assert line(EMPTY) == " 0.0%  0/1,000 frames  starting  lr 7e-4"


class Clock:
    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time


def test_lines_come_one_an_interval_and_at_news():
    written, clock = [], Clock()
    show = LogLines(5.0, written.append, clock)
    for clock.time in range(20):  # one call a second
        show(PROGRESS)
    assert len(written) == 4
    show(PROGRESS._replace(phase="saving"))
    assert len(written) == 4  # a change of phase is no reason for a line
    show(PROGRESS._replace(evaluations=(*PROGRESS.evaluations, (1_200_000, -19.0, 1.0))))
    show(PROGRESS._replace(phase="done"))
    assert [row.split("eval ")[1] for row in written[4:]] == ["-19", "-20.4"]


def test_a_long_start_is_one_line_and_a_long_run_has_few():
    written, clock = [], Clock()
    show = LogLines(5.0, written.append, clock)
    for clock.time in range(100):
        show(EMPTY)
    assert len(written) == 1
    for clock.time in range(100, 86_400):
        show(PROGRESS)
    assert 1_000 < len(written) < 2_000  # a day at one a minute, not at twelve


def test_elsewhere_than_on_a_terminal_there_are_plain_lines():
    console = Console(file=io.StringIO(), width=80, force_terminal=True)  # as FORCE_COLOR does in CI
    with live.live_view(CONFIG, console) as show:
        show(PROGRESS)
    assert console.file.getvalue() == line(PROGRESS) + "\n"


def test_a_log_on_a_full_disk_stops_nobody(tmp_path):
    with (tmp_path / "log").open("w") as file:
        with full(100), live.live_view(CONFIG, Console(file=Output(file), width=80)) as show:
            for frames in range(9):
                show(PROGRESS._replace(frames=frames, phase="done", evaluations=PROGRESS.evaluations * frames))
        assert (tmp_path / "log").stat().st_size == 100
        file.flush()  # there is room again


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_the_terminal_is_left_as_it_was(error):
    console = Console(file=Terminal(), width=80, force_terminal=True, _environ={"TERM": "xterm"})
    written = console.file.getvalue

    def train():
        with live.live_view(CONFIG, console) as show:
            show(PROGRESS)
            assert written().count("\x1b[?25l") == 1  # hides the cursor
            raise error

    with pytest.raises(error):
        train()
    assert "412 in total" in written()
    assert written().rindex("\x1b[?25h") > written().rindex("\x1b[?25l")


def test_before_the_first_word_the_terminal_is_untouched():
    console = Console(file=Terminal(), width=80, force_terminal=True, _environ={"TERM": "xterm"})
    with live.live_view(CONFIG, console):
        assert console.file.getvalue() == ""
