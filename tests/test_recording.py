"""``asyncrl record`` with environments whose pictures and metadata are unusual, and with its options."""

import os
import subprocess
import sys

import numpy as np
import pytest

from asyncrl import experiment
from asyncrl.cli.app import main
from tests.runtime.setups import resolve

imageio = pytest.importorskip("imageio.v2")
pytest.importorskip("imageio_ffmpeg")

COLOURED = ("bytes", "floats", "large floats", "alpha", "channels first", "integers", "lists")
SIZES = ("odd", "growing", "shrinking")
GREY = ("grey", "one channel", "bools")
WRONG = {
    "none": "render() returned None",
    "nan": "not in 0 … 255",
    "dictionary": "returned dict",
    "text": "returned str",
    "empty": "(0, 5, 3)",
    "large numbers": "from 300 to 555",
    "video": "(5, 40, 40, 3)",
    "later none": "returned None",
    "raises": "list index out of range",
    "no mode": "no render_mode",
}


def few(names, fast):
    """Return parameters, of which all but the few fast ones are left to the tests of faults."""
    return [name if name in fast else pytest.param(name, marks=pytest.mark.faults) for name in names]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run of one short training."""
    settings = {"env": "tests.rendered:Rendered", "threads": 1, "frames": 100, "evaluation": {"episodes": 0}}
    return experiment.train(resolve(**settings), tmp_path_factory.mktemp("results"), "one")


@pytest.fixture
def record(run, tmp_path, monkeypatch, capsys):
    """Return a function that records, and returns the exit code, the messages, and the video's pictures and rate."""

    def call(picture="bytes", *options, metadata="", name="out.mp4"):
        monkeypatch.setenv("PICTURE", picture)
        monkeypatch.setenv("METADATA", metadata)
        with pytest.raises(SystemExit) as end:
            main(["record", str(run), "--out", str(tmp_path / name), *options])
        messages = capsys.readouterr().err
        if not (tmp_path / name).exists():
            return end.value.code, messages, None, None
        with imageio.get_reader(tmp_path / name) as reader:
            data = reader.get_meta_data()
            return end.value.code, messages, [np.asarray(each)[..., :3] for each in reader], data

    return call


@pytest.mark.parametrize("picture", few([*COLOURED, *SIZES, *GREY], ("floats", "odd", "growing")))
def test_record_of_an_unusual_picture_shows_it(record, picture):
    code, messages, pictures, data = record(picture)
    assert (code, messages) == (0, "")
    assert len(pictures) == 20
    assert data["fps"] == 10
    assert len({each.shape for each in pictures}) == 1
    height, width = pictures[0].shape[:2]
    left, right = pictures[-1][height // 2, width // 4].astype(int), pictures[-1][height // 2, 7 * width // 8]
    assert left.min() > 220
    assert right[1:].max() < 40
    assert (right[0] > 200) == (picture not in GREY)


@pytest.mark.parametrize("picture", few(WRONG, ("nan", "later none", "no mode")))
def test_record_of_what_is_no_picture_is_one_line(record, tmp_path, picture):
    code, messages, pictures, _ = record(picture)
    assert code == 2
    assert messages.startswith("asyncrl: tests.rendered:Rendered cannot be rendered: ")
    assert messages.count("\n") == 1
    assert WRONG[picture] in messages
    assert pictures is None
    assert list(tmp_path.iterdir()) == []


def test_record_of_three_pixels_makes_a_video(record):
    code, messages, pictures, _ = record("tiny")
    assert (code, messages) == (0, "")
    assert pictures[0].shape == (400, 1200, 3)


RATES = {
    "nothing": 30,
    "a list": 30,
    "nan": 30,
    "text": 30,
    "bool": 30,
    "zero": 30,
    "ten": 10,
    "half": 12.5,
    "sixty": 60,
}


@pytest.mark.parametrize("metadata", few(RATES, ("nothing", "half")))
def test_record_plays_at_the_rate_of_the_metadata(record, metadata):
    code, messages, _, data = record("bytes", "--max-seconds", "1", metadata=metadata)
    assert (code, messages) == (0, "")
    assert data["fps"] == RATES[metadata]


def test_record_of_a_gif_at_a_high_rate_leaves_out_pictures(record):
    _, _, _, data = record("shrinking", metadata="sixty", name="out.gif")
    # GIFs count in hundredths of a second
    assert data["duration"] == pytest.approx(2000 / 60, abs=10)


@pytest.mark.faults
def test_record_without_a_screen_prints_no_warning(tmp_path):
    pytest.importorskip("pygame")
    hidden = ("XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_AUDIODRIVER")
    variables = {name: value for name, value in os.environ.items() if name not in hidden}
    variables["PYTHONPATH"] = os.pathsep.join([os.getcwd(), *filter(None, sys.path)])
    settings = ("--env", "CartPole-v1", "--threads", "1", "--frames", "200", "--set", "evaluation.episodes=0")
    for arguments in (["run", *settings, "--name", "one"], ["record", "one", "--out", "a.mp4"]):
        command = [sys.executable, "-m", "asyncrl", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=100)
        assert (done.returncode, done.stderr) == (0, "")
    with imageio.get_reader(tmp_path / "a.mp4") as reader:
        assert reader.get_meta_data()["fps"] == 50


@pytest.mark.parametrize("options", [["--max-seconds", "inf"], ["--max-seconds", "nan"], ["--max-seconds", "1e300"],
                                     ["--episodes", "999999999"], ["--checkpoint", "../../x"]])  # fmt: skip
def test_record_with_a_wrong_option_is_one_line(record, options):
    code, messages, pictures, _ = record("bytes", *options)
    assert code in (2, 3)
    assert messages.count("\n") == 1
    assert pictures is None
