import platform

from asyncrl.config import Optimizer, RunConfig
from asyncrl.store import summary
from asyncrl.store.runs import hold
from tests.past import STAMP, make_run


def test_a_summary_says_what_a_list_needs(tmp_path):
    run = make_run(tmp_path, "pong-1")
    assert summary.summaries(tmp_path, None) == [
        {
            "id": "pong-1",
            "path": str(run),
            "env": "pong",
            "algo": "a3c",
            "threads": 2,
            "seed": 1,
            "frames": 400_000,
            "budget": 400_000,
            "evaluation": -11.0,
            "best": -10.5,
            "status": "finished",
            "reason": None,
            "started": "2026-11-01T10:00:00+00:00",
        }
    ]
    assert summary.summaries(tmp_path, "threads>2") == []


def test_a_damaged_run_is_listed_as_such(tmp_path):
    run = make_run(tmp_path, "pong-1")
    (run / "run.json").write_text("{")
    (found,) = summary.summaries(tmp_path, None)
    assert (found["id"], found["status"], found["env"]) == ("pong-1", "damaged", None)


def test_a_run_whose_process_is_gone_is_not_called_running(tmp_path):
    run = make_run(tmp_path, "pong-1", status="running")
    (run / "lock").write_text(f"process 1 on {platform.node()}")
    with hold(run):
        assert summary.details(run)["status"] == "running"
        assert [row["id"] for row in summary.summaries(tmp_path, "status=running")] == ["pong-1"]
    details = summary.details(run)
    assert details["status"] == "crashed"
    assert "asyncrl resume" in details["reason"]
    assert details["frames"] == 500_000  # as in its rows
    assert [row["status"] for row in summary.summaries(tmp_path, "status=crashed")] == ["crashed"]
    assert summary.summaries(tmp_path, "status=running") == []


def test_while_a_run_goes_on_its_rows_know_how_far_it_is(tmp_path):
    assert summary.details(make_run(tmp_path, "running", status="running"))["frames"] == 500_000
    assert summary.details(make_run(tmp_path, "finished"))["frames"] == STAMP["frames"]


def test_details_sum_up_the_games_of_each_worker(tmp_path):
    details = summary.details(make_run(tmp_path, "pong-1"))
    assert details["workers"] == [
        {"worker": 0, "games": 2, "last": -20.0, "mean": -20.5, "best": -20.0, "epsilon": None},
        {"worker": 1, "games": 2, "last": -3.0, "mean": -11.0, "best": -3.0, "epsilon": None},
    ]
    assert details["metrics"]["frames"] == 500_000
    assert len(details["evaluations"]) == 3


def test_what_differs_from_the_defaults():
    config = RunConfig(t_max=20, optimizer=Optimizer(lr=1e-3)).model_dump(mode="json")
    assert summary.changed(config) == {
        "t_max": {"value": 20, "default": 5},
        "optimizer.lr": {"value": 1e-3, "default": 7e-4},
    }
    assert summary.changed(RunConfig().model_dump(mode="json")) == {}
