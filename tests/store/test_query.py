import pytest

from asyncrl.errors import InputError
from asyncrl.store.query import no_runs_text, select


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (None, "bcd"),
        ("", "bcd"),
        ("algo=a3c", "bc"),
        ("algo == a3c and threads >= 16", "b"),
        ("algo!=a3c", "d"),
        ("threads<16", "cd"),
        ("threads<=4", "c"),
        ("threads>4 and threads<16", "d"),
        ("frames=10M", "bcd"),
        ("frames>1e7", ""),
        ("optimizer.lr>=7e-4", "bc"),
        ("optimizer.anneal=true", "bcd"),
        ("status=finished and id=pong-b", "b"),
        ("status!=finished", ""),
        ("env=pong", "bc"),
        ("env=PongNoFrameskip-v4 and threads=4", "c"),
        ("env!=Pong", "d"),
    ],
)
def test_select_returns_the_runs_that_fulfil_the_conditions(root, where, names):
    assert [run.name[-1] for run, _ in select(root, where)] == list(names)


def test_select_with_a_damaged_run_returns_it_with_the_reason(root):
    (root / "pong-b" / "run.json").write_text("{")
    [(run, document)] = select(root, "status=damaged")
    assert run.name == "pong-b"
    assert document["status"] == "damaged"
    assert "damaged" in document["reason"]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("thread=4", "Did you mean 'threads'"),
        ("algo", "takes conditions"),
        ("algo=a3c and", "takes conditions"),
        ("algo=", "takes conditions"),
        ("threads>many", "needs a number"),
        ("threads=>1", "takes conditions"),
        ("threads>==1", "takes conditions"),
        ("algo=!a3c", "takes conditions"),
    ],
)
def test_select_with_a_bad_condition_raises_one_message(root, where, message):
    with pytest.raises(InputError, match=message):
        select(root, where)


def test_no_runs_text_names_the_conditions_or_the_next_command(tmp_path):
    assert "asyncrl run" in no_runs_text(tmp_path)
    assert no_runs_text(tmp_path, "seed=3") == f"No run in {tmp_path} has seed=3."
