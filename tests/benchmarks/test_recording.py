"""What a training of another library keeps, and when it ends."""

import json

import pytest

from asyncrl.envs.base import Episode
from benchmarks.recording import Recording
from benchmarks.time_to_score import MARGIN, Goal
from tests.benchmarks.setups import games_to_zero, write_games

EPISODE = Episode(env=0, score=1.0, length=5, completed=True)
EVERY = 400  # frames: 100 steps


def record(folder, is_done=lambda frames: False):
    return Recording(folder, 1, 4, EVERY, is_done)


def steps(folder):
    return [json.loads(line)["steps"] for line in (folder / "episodes.jsonl").read_text().splitlines()]


def save(folder):
    (folder / "weights").write_text("whole")


def fail(folder):
    (folder / "weights").write_text("incompl")
    raise KeyboardInterrupt


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "episodes.jsonl")


def test_recording_after_a_kill_removes_rows_later_than_the_checkpoint(tmp_path):
    first = record(tmp_path)
    for now in (50, 100, 150, 199):
        first.observe(0, now, [EPISODE], save)
    again = record(tmp_path)
    assert (again.steps, again.checkpoint) == (100, tmp_path / "checkpoint-100")
    assert steps(tmp_path) == [50, 100]
    again.observe(0, 101, [EPISODE, EPISODE], save)
    assert steps(tmp_path) == [50, 100, 101, 101]


def test_recording_without_a_checkpoint_begins_again_without_rows(tmp_path):
    record(tmp_path).observe(0, 99, [EPISODE], save)
    again = record(tmp_path)
    assert (again.steps, again.checkpoint) == (0, None)
    assert steps(tmp_path) == []


def test_recording_row_has_frames_score_and_length(tmp_path):
    record(tmp_path).observe(1, 7, [EPISODE], save)
    row = json.loads((tmp_path / "episodes.jsonl").read_text())
    assert row == {"frames": 28, "steps": 7, "worker": 1, "score": 1.0, "length": 5, "completed": True}


def test_recording_keeps_the_newest_checkpoint_alone(tmp_path):
    recording = record(tmp_path)
    for now in (100, 150, 200, 316):
        assert recording.observe(0, now, [], save)
    assert names(tmp_path) == ["checkpoint-316"]
    assert (tmp_path / "checkpoint-316" / "weights").read_text() == "whole"


def test_recording_checkpoint_that_was_not_completed_leaves_the_one_before(tmp_path):
    recording = record(tmp_path)
    recording.observe(0, 100, [], save)
    with pytest.raises(KeyboardInterrupt):
        recording.observe(0, 200, [], fail)
    assert record(tmp_path).checkpoint == tmp_path / "checkpoint-100"
    assert names(tmp_path) == ["checkpoint-100"]


def test_recording_worker_0_alone_saves(tmp_path):
    recording = record(tmp_path)
    assert recording.observe(1, 100, [], save)
    assert names(tmp_path) == []
    recording.observe(0, 101, [], save)
    assert names(tmp_path) == ["checkpoint-101"]


def test_recording_ends_after_a_checkpoint_where_the_training_is_done(tmp_path):
    recording = record(tmp_path, lambda frames: frames >= 800)
    assert [recording.observe(0, now, [], save) for now in (100, 199, 200)] == [True, True, False]


def test_recording_directory_with_a_similar_name_is_no_checkpoint(tmp_path):
    (tmp_path / "checkpoint-100-copy").mkdir()
    assert record(tmp_path).checkpoint is None


@pytest.mark.parametrize(("frames", "ends"), [(150_000 + MARGIN - 1, False), (150_000 + MARGIN, True)])
def test_goal_score_reached_ends_a_training_some_frames_later(frames, ends, tmp_path):
    write_games(tmp_path, games_to_zero(150))
    assert Goal(tmp_path, 10**9, 0.0).check(frames) is ends


@pytest.mark.parametrize(("frames", "ends"), [(999_999, False), (1_000_000, True)])
def test_goal_score_not_reached_ends_a_training_at_its_budget(frames, ends, tmp_path):
    write_games(tmp_path, [-1] * 150)
    assert Goal(tmp_path, 1_000_000, 0.0).check(frames) is ends
