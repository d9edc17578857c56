import math
from pathlib import Path

import pytest

from asyncrl.config import Optimizer, RunConfig
from asyncrl.store import summary
from asyncrl.store.rows import Writer
from asyncrl.store.runs import hold
from asyncrl.terminal import rendering
from asyncrl.terminal.console import SafeConsole
from asyncrl.terminal.details import details_page
from tests.past import make_run


def render(renderables, width=80):
    console = SafeConsole(width=width, color_system=None)
    with console.capture() as capture:
        for renderable in renderables:
            console.print(renderable, soft_wrap=True)
    return capture.get()


def page(run, width=80):
    return render(details_page(summary.details(run), width), width)


def test_a_page_says_what_a_run_is_and_how_it_went(tmp_path):
    config = RunConfig(threads=2, frames=400_000, network="nips", t_max=20, optimizer=Optimizer(lr=1e-3))
    text = page(make_run(tmp_path, "pong-1", config=config))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "pong-1 finished" in lines
    assert "a3c on pong, 2 threads, nips with 677k parameters, seed 1" in lines
    assert "400k of 400k frames, 100k steps, 20k updates, 1:34 of training" in lines
    assert "started 2026-11-01 10:00 UTC" in lines
    assert "optimizer.lr 0.001 instead of 0.0007" in lines
    assert "t_max 20 instead of 5" in lines
    assert not any("frames 400000" in line for line in lines)  # it is in the title
    assert "commit 0123456789ab with uncommitted changes" in lines
    assert "A CPU, 2 of 8 cores" in lines
    assert "400k -10.5 1.5 -10.5 10 atari-paper-noop training best" in lines
    assert "400k -11 1.5 -11 10 atari-paper-noop eval" in lines
    assert "1 2 -3 -11 -3" in lines  # a policy method has no ε
    assert "Why it ended" not in text


def test_a_page_of_a_failed_run_says_why_and_where(tmp_path):
    traceback = 'Traceback …\n  File "a.py", line 1, in main\n  File "b.py", line 2, in step\nValueError: broken\n'
    failure = {"worker": 1, "reason": "ValueError: broken", "traceback": traceback}
    run = make_run(tmp_path, "pong-1", status="failed", reason="ValueError: broken", failure=failure)
    text = page(run)
    assert "failed" in text
    assert "Why it ended ValueError: broken File" in " ".join(text.split())
    assert 'File "b.py", line 2, in step' in text
    assert "a.py" not in text


def test_a_page_lists_the_last_failures_that_were_mended(tmp_path):
    run = make_run(tmp_path, "pong-1")
    with Writer(run) as writer:
        for i in range(7):
            row = {"frames": 1_000 * i, "worker": i - 1, "reason": f"ValueError: [b]roken[/x] {i}", "is_final": i == 6}
            writer.append("failures", row)
    text = page(run)
    assert "Failures after which training continued: 6" in text
    assert "[b]roken[/x] 0" not in text
    assert all(f"ValueError: [b]roken[/x] {i}" in text for i in range(1, 6))
    assert "[b]roken[/x] 6" not in text


@pytest.mark.parametrize("document", [{}, {"reason": "SIGINT"}])
def test_a_page_of_a_run_that_had_hardly_begun(tmp_path, document):
    with Writer(tmp_path) as writer:
        writer.update_document(status="running", **document)
    with hold(tmp_path):
        assert "running" in page(tmp_path)
    assert "asyncrl resume" in page(tmp_path)


def test_the_table_of_runs_has_room_for_settings_or_does_without(tmp_path):
    name = "montezuma_revenge-one-step-sarsa-16t-s12345-20261101100000-abcd"[:50]
    make_run(tmp_path, name)
    summaries = summary.summaries(tmp_path, None)
    narrow, wide = (render(rendering.runs_table(summaries, width), width) for width in (80, 120))
    assert narrow.split()[:4] == ["run", "frames", "eval", "status"]
    assert wide.split()[:6] == ["run", "env", "algo", "threads", "seed", "frames"]
    assert all(name in text for text in (narrow, wide))
    assert all("400k" in text and "-11" in text and "finished" in text for text in (narrow, wide))


def test_the_outcome_says_where_results_are_and_what_to_try_next(tmp_path):
    run = make_run(tmp_path, "pong-1")
    text = render(rendering.outcome(summary.details(run)))
    assert "Last evaluation -11 ± 1.5 at 400k; best -10.5 ± 1.5 at 400k." in text
    assert f"The run is in {run}\n" in text
    for command in (f"asyncrl show {run}", f"asyncrl record {run}", f"asyncrl resume {run} --frames 800k"):
        assert command in text


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([-21.0] * 299, None),
        ([-21.0] * 300, "-21 in the first 100, -21 in the last 100; no better than at first"),
        ([-21.0] * 200 + [3.0] * 100, "-21 in the first 100, 3 in the last 100; still rising"),
        ([-21.0] * 100 + [3.0, 4.0] * 100, "3.5 in the last 100; level at the end"),
        ([-21.0, math.nan] * 300, "no better than at first"),
    ],
)
def test_outcome_last_line_is_the_trend_of_training_scores(tmp_path, scores, message):
    found = summary.details(make_run(tmp_path, "pong-1")) | {"learning": summary.learning(scores)}
    last = render(rendering.outcome(found)).splitlines()[-1]
    assert last.startswith("Mean score of training episodes") == (message is not None)
    assert message is None or message in last


def test_an_evaluation_in_one_line():
    row = {"mean": -3.25, "median": -3.0, "std": 2.0, "episodes": 30, "frames": 10_000_000, "protocol": "gymnasium"}
    assert (
        rendering.evaluation_text(row)
        == "-3.2 is the mean of 30 episodes (median -3, std 2) after 10M frames, gymnasium"
    )


def test_a_page_of_a_profiled_run_says_where_the_time_went(tmp_path):
    run = make_run(tmp_path, "pong-1")
    with Writer(run) as writer:  # 100 steps, then 300; and a resumed run that had to begin again
        writer.append("metrics", {"steps": 100_100, "frames": 1, "act_us": 100.0, "learn_us": 40.0})
        writer.append("metrics", {"steps": 100_400, "frames": 1, "act_us": 300.0})
        writer.append("metrics", {"steps": 100_300, "frames": 1, "act_us": 9_000.0})
    found = summary.details(run)
    assert found["profile"] == {"act": 250.0, "learn": 10.0}
    lines = [" ".join(line.split()) for line in page(run).splitlines()]
    assert ["act 250.0 96%", "learn 10.0 4%"] == [line for line in lines if line.endswith("%")]
    assert not any("act us" in line for line in lines)  # it is in the profile


def test_a_page_of_a_run_not_profiled_does_not_speak_of_it(tmp_path):
    assert "by phase" not in page(make_run(tmp_path, "pong-1"))


def test_a_report_without_a_usable_run_is_a_sentence_and_no_empty_table():
    text = render(rendering.report([], ["Left out or damaged: 1 thing"], Path("report.html"), 100))
    assert text.splitlines()[0] == "No run has a score: none was evaluated, or none can be used."
    assert "final" not in text
