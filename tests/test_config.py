"""Settings: their sources, and the messages for invalid ones."""

import tomllib

import pytest
from pydantic import ValidationError

from asyncrl.config import (
    ALGOS,
    NETWORKS,
    PRESETS,
    Evaluation,
    Optimizer,
    RunConfig,
    build,
    field_names,
    merge,
    parse_set,
    read_toml,
    to_toml,
)
from asyncrl.errors import InputError
from asyncrl.networks.factory import ADAPTED, CONVOLUTIONS
from asyncrl.presets import preset, read_presets
from asyncrl.setting_types import parse_frames

KINDS = ("atari", "minatar", "image", "vector", "continuous")  # of environments, which have presets


@pytest.mark.parametrize(
    ("text", "frames"),
    [("10M", 10_000_000), ("4e6", 4_000_000), ("500k", 500_000), ("1_000", 1000), ("1G", 10**9), ("1.5m", 1_500_000),
     (" 7 ", 7), (4e6, 4_000_000), (12, 12)],
)  # fmt: skip
def test_frames_are_read_as_people_write_them(text, frames):
    assert parse_frames(text) == frames
    assert build({"frames": text}).frames == frames


@pytest.mark.parametrize("text", ["many", "10X", "", "-5", "0", "0.5", "1.2.3", "1.5", 2.5, None, [1], "nan", "M"])
def test_other_frames_are_refused(text):
    with pytest.raises(InputError, match=r"^frames .*got ") as caught:
        build({"frames": text})
    assert one_line(caught)


def test_endless_frames_are_refused():
    with pytest.raises(InputError, match=r"frames should be a finite number; got '1e999'"):
        build({"frames": "1e999"})


@pytest.mark.parametrize("name", ["lr", "eps", "clip"])
def test_settings_are_finite(name):
    with pytest.raises(InputError, match=f"optimizer.{name} should be a finite number"):
        build({"optimizer": {name: float("inf")}})


def test_a_mistake_of_two_settings_is_told_once():
    with pytest.raises(InputError, match=r"^exploration final and probability need one entry each"):
        build({"exploration": {"final": [0.1]}})


def test_the_defaults_are_the_papers():
    run = RunConfig()
    assert (run.algo, run.threads, run.t_max, run.gamma, run.entropy) == ("a3c", 16, 5, 0.99, 0.01)
    assert (run.target_frames, run.exploration.anneal_frames) == (40_000, 4_000_000)
    assert run.exploration.final == (0.1, 0.01, 0.5)
    assert run.exploration.probability == (0.4, 0.3, 0.3)
    assert (run.optimizer.name, run.optimizer.alpha, run.optimizer.eps) == ("shared-rmsprop", 0.99, 0.1)
    assert (run.optimizer.lr, run.optimizer.anneal, run.optimizer.clip) == (7e-4, True, 40)
    assert (run.atari.noops, run.atari.max_frames, run.atari.protocol) == (30, 108_000, "paper")


def test_nothing_changes_once_built():
    with pytest.raises(ValidationError):
        RunConfig().threads = 2
    with pytest.raises(ValidationError):
        RunConfig().optimizer.lr = 1.0


@pytest.mark.parametrize("algo", ALGOS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name, kind, algo):
    run = build(merge(preset(name, kind, algo), {"algo": algo}))
    assert run.algo == algo


def test_presets_know_no_other_names_kinds_and_algos():
    presets = read_presets()
    assert set(presets) == set(PRESETS)
    for blocks in presets.values():
        assert set(blocks) <= set(KINDS)
        for block in blocks.values():
            assert {key for key, value in block.items() if isinstance(value, dict)} - set(ALGOS) <= {
                "optimizer", "exploration", "evaluation", "checkpoints", "atari"
            }  # fmt: skip


@pytest.mark.parametrize("algo", ALGOS)
def test_preset_paper_on_atari_equals_the_defaults(algo):
    assert build(merge(preset("paper", "atari", algo), {"algo": algo})) == RunConfig(algo=algo)


@pytest.mark.parametrize("algo", ALGOS)
@pytest.mark.parametrize("kind", ["vector", "continuous"])
def test_preset_fast_off_atari_equals_paper(kind, algo):
    assert preset("fast", kind, algo) == preset("paper", kind, algo)


def test_preset_of_an_algorithm_replaces_values_of_its_kind():
    paper = {"vector": {"gamma": 0.9, "t_max": 7, "a3c": {"gamma": 0.8, "optimizer": {"lr": 1e-3}}}}
    fast = {"vector": {"gamma": 0.7, "entropy": 0.5, "a3c": {"optimizer": {"eps": 1e-5}}}}
    presets = {"paper": paper, "fast": fast}
    assert preset("paper", "vector", "a3c", presets) == {"gamma": 0.8, "t_max": 7, "optimizer": {"lr": 1e-3}}
    assert preset("paper", "vector", "n-step-q", presets) == {"gamma": 0.9, "t_max": 7}
    assert preset("fast", "vector", "n-step-q", presets) == {"gamma": 0.7, "t_max": 7, "entropy": 0.5}
    both = {"gamma": 0.7, "t_max": 7, "entropy": 0.5, "optimizer": {"lr": 1e-3, "eps": 1e-5}}
    assert preset("fast", "vector", "a3c", presets) == both
    assert preset("paper", "unknown", "a3c", presets) == {}


def test_layers_lie_over_each_other_table_by_table():
    below = {"threads": 4, "optimizer": {"lr": 1.0, "eps": 2.0}}
    above = {"optimizer": {"lr": 3.0}, "env": "qbert"}
    assert merge(below, above) == {"threads": 4, "env": "qbert", "optimizer": {"lr": 3.0, "eps": 2.0}}
    assert below["optimizer"] == {"lr": 1.0, "eps": 2.0}
    assert merge() == {}
    assert merge({"exploration": {"final": [1, 2]}}, {"exploration": {"final": [3]}}) == {"exploration": {"final": [3]}}


def test_set_takes_dotted_names_toml_values_and_bare_words():
    table = parse_set(
        ["optimizer.lr=1e-3", "optimizer.name=adam", "threads = 4", "env=ALE/Pong-v5", "optimizer.anneal=false",
         "exploration.final=[0.1]", "atari.protocol='sticky'", "env=a=b"]
    )  # fmt: skip
    assert table == {
        "optimizer": {"lr": 1e-3, "name": "adam", "anneal": False},
        "threads": 4,
        "env": "a=b",
        "exploration": {"final": [0.1]},
        "atari": {"protocol": "sticky"},
    }


@pytest.mark.parametrize("assignment", ["threads", "=4", "  = 4", ""])
def test_set_without_a_name_or_a_value_is_refused(assignment):
    with pytest.raises(InputError, match="--set takes NAME=VALUE") as caught:
        parse_set([assignment])
    assert one_line(caught)


def test_a_file_is_read(tmp_path):
    (tmp_path / "run.toml").write_text('algo = "a2c"\n[optimizer]\nlr = 1e-3\n')
    assert build(read_toml(tmp_path / "run.toml")).optimizer.lr == 1e-3


@pytest.mark.parametrize(
    ("name", "bytes_", "message"),
    [("absent.toml", None, "Cannot read .*absent.toml: No such file"), ("bad.toml", b"a = = 1", "bad.toml is not TOML"),
     ("latin.toml", b'a = "\xe9"', "latin.toml is not TOML")],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_explained(tmp_path, name, bytes_, message):
    if bytes_ is not None:
        (tmp_path / name).write_bytes(bytes_)
    with pytest.raises(InputError, match=message) as caught:
        read_toml(tmp_path / name)
    assert one_line(caught)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"thread": 4}, r"There is no setting 'thread'\. Did you mean 'threads'\?"),
        ({"optimizer": {"learning_rate": 1}}, "There is no setting 'optimizer.learning_rate'"),
        ({"optimizer": {"ln": 1}}, r"There is no setting 'optimizer.ln'\. Did you mean 'optimizer.lr'\?"),
        ({"zzzzzzzz": 1}, r"There is no setting 'zzzzzzzz'\.$"),
        ({"algo": "a3d"}, r"algo is 'a3d'; it can be .*a2c or module:Name\. Did you mean 'a3c'\?"),
        ({"optimizer": {"name": "adm"}}, r"optimizer.name is 'adm'; .* Did you mean 'adam'\?"),
        ({"algo": 3}, "algo should be a text; got 3"),
        ({"threads": 0}, "threads should be greater than or equal to 1; got 0"),
        ({"threads": "four"}, "threads should be a whole number; got 'four'"),
        ({"threads": 2.5}, "threads should be a whole number; got 2.5"),
        ({"gamma": 1.5}, "gamma should be less than or equal to 1; got 1.5"),
        ({"optimizer": 5}, "optimizer should be .*; got 5"),
        ({"optimizer": {"lr": 0}}, "optimizer.lr should be greater than 0; got 0"),
        ({"optimizer": {"lr": "a\nb"}}, "optimizer.lr should be a number"),
        ({"exploration": {"final": [2.0]}}, "exploration.final.0 should be less than or equal to 1; got 2.0"),
        ({"exploration": {"final": [0.1]}}, "exploration final and probability need one entry each"),
        ({"exploration": {"probability": [0.4, 0.4, 0.4]}}, "summing to 1"),
        ({"checkpoints": {"keep": 1}}, "checkpoints.keep should be greater than or equal to 2; got 1"),
        ({"frames": "10 miles"}, "frames should be a number of frames, such as 10M, 4e6"),
    ],
)
def test_a_mistake_gets_one_line(table, message):
    with pytest.raises(InputError, match=message) as caught:
        build(table)
    assert one_line(caught)


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(),
        RunConfig(optimizer=Optimizer(clip=None)),
        RunConfig(
            env='a "quoted" \\ name', evaluation=Evaluation(every=1_000), optimizer=Optimizer(lr=1e-5, clip=1e22)
        ),
    ],
)
def test_to_toml_of_a_configuration_builds_the_same_one(config):
    assert build(tomllib.loads(to_toml(config))) == config


def test_networks_are_every_torso_with_and_without_lstm():
    torsos = [*CONVOLUTIONS, ADAPTED, "mlp"]
    assert list(NETWORKS) == [*torsos, "mlp-separate", *(f"{name}-lstm" for name in torsos)]


def test_every_setting_has_a_name():
    names = field_names()
    assert {"algo", "optimizer.lr", "exploration.final", "atari.protocol", "checkpoints.keep"} <= set(names)
    assert "optimizer" not in names
    assert len(set(names)) == len(names)


def one_line(caught):
    text = str(caught.value)
    return "\n" not in text and text.endswith((".", "?"))
