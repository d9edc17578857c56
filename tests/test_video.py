import numpy as np
import pytest

from asyncrl import video
from asyncrl.config import RunConfig
from asyncrl.errors import InputError
from tests.past import make_run


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path, "pong-1")


def play(run, which="last", seed=1):
    """Play ten pictures of a game whose score is its seed; the first is red."""
    for i in range(10):
        picture = np.zeros((210, 160, 3), np.uint8)
        picture[..., 0 if i == 0 else 2] = 250
        yield picture, float(seed)


@pytest.mark.parametrize("name", ["game.mp4", "game.gif"])
def test_a_video_shows_every_picture_of_every_game(monkeypatch, run, tmp_path, name):
    imageio = pytest.importorskip("imageio.v2")
    pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setattr(video.experiment, "play", play)
    out = tmp_path / name
    assert video.record(run, "last", out, episodes=2, max_seconds=None) == [1.0, 2.0]
    with imageio.get_reader(out) as reader:
        pictures = [np.asarray(picture)[..., :3] for picture in reader]
        seconds = reader.get_meta_data().get("duration")
    assert pictures[0].shape == (420, 320, 3)  # twice as large
    assert pictures[0][200, 150].argmax() == 0
    assert pictures[1][200, 150].argmax() == 2
    if name.endswith("mp4"):
        assert len(pictures) == 20
        assert seconds == pytest.approx(20 / 15, abs=0.05)  # 60 frames a second, four to a step
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".tmp")] == []


def test_a_video_is_cut_at_its_length(monkeypatch, run, tmp_path):
    imageio = pytest.importorskip("imageio.v2")
    pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setattr(video.experiment, "play", play)
    video.record(run, "last", tmp_path / "game.mp4", episodes=9, max_seconds=1.0)
    with imageio.get_reader(tmp_path / "game.mp4") as reader:
        assert sum(1 for _ in reader) == 15


@pytest.mark.parametrize(("env", "rate"), [("pong", 15), ("CartPole-v1", 50)])
def test_frames_per_second_is_the_rate_of_the_environment(tmp_path, env, rate):
    assert video.frames_per_second(make_run(tmp_path, "run", config=RunConfig(env=env))) == rate


@pytest.mark.parametrize("name", ["game.avi", "game", "nowhere/game.mp4"])
def test_a_file_that_cannot_be_is_refused_before_anything_is_played(monkeypatch, run, tmp_path, name):
    monkeypatch.setattr(video.experiment, "play", lambda *args, **kwargs: pytest.fail("played"))
    with pytest.raises(InputError):
        video.record(run, "last", tmp_path / name, episodes=1, max_seconds=None)


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch, run, tmp_path):
    monkeypatch.setattr(video, "find_spec", lambda module: None)
    with pytest.raises(InputError, match=r"A video needs imageio: pip install 'asyncrl\[video\]'"):
        video.record(run, "last", tmp_path / "game.mp4", episodes=1, max_seconds=None)


def test_a_failure_leaves_no_file(monkeypatch, run, tmp_path):
    pytest.importorskip("imageio_ffmpeg")

    def fall_over(run, which, seed):
        yield from list(play(run))[:3]
        raise ValueError("fell over")

    monkeypatch.setattr(video.experiment, "play", fall_over)
    before = set(tmp_path.iterdir())
    with pytest.raises(ValueError, match="fell over"):
        video.record(run, "last", tmp_path / "game.gif", episodes=1, max_seconds=None)
    assert set(tmp_path.iterdir()) == before
