import os
import platform
import re
import signal
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from asyncrl.errors import InputError
from asyncrl.store.runs import claim, find, hold, is_held, list_runs
from tests.limits import full
from tests.past import write_document


def test_claim_makes_a_directory_of_its_own_each_time(tmp_path):
    runs = [claim(tmp_path / "new" / "results", "pong-a3c-16t-s1") for _ in range(50)]
    assert len(set(runs)) == 50
    assert all(re.fullmatch(r"pong-a3c-16t-s1-\d{14}-[0-9a-f]{4}", run.name) and run.is_dir() for run in runs)


def test_claim_tries_again_where_two_draw_the_same_id(tmp_path, monkeypatch):
    drawn = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("asyncrl.store.runs.secrets.token_hex", lambda _: next(drawn))
    monkeypatch.setattr("asyncrl.store.runs.datetime", SimpleNamespace(now=lambda: datetime(2026, 1, 2, 3, 4, 5)))
    assert claim(tmp_path, "s") == tmp_path / "s-20260102030405-aaaa"
    assert claim(tmp_path, "s") == tmp_path / "s-20260102030405-bbbb"


def test_claim_makes_one_name_of_a_stem_with_separators(tmp_path):
    run = claim(tmp_path, "ALE/Pong-v5-pkg.module:factory")
    assert run.parent == tmp_path
    assert run.name.startswith("ALE-Pong-v5-pkg.module-factory-")


def test_claim_never_takes_a_name_twice(tmp_path):
    assert claim(tmp_path, "stem", "mine") == tmp_path / "mine"
    with pytest.raises(InputError, match=r"'mine' in .* already"):
        claim(tmp_path, "stem", "mine")


@pytest.mark.parametrize("name", ["", "last", ".", "..", "../up", "a/b", ".hidden", "-option", "a b", "a\n"])
def test_claim_refuses_what_is_not_a_name(tmp_path, name):
    with pytest.raises(InputError, match="named"):
        claim(tmp_path / "results", "stem", name)
    assert not (tmp_path / "results").exists()


def test_claim_says_where_nothing_can_be_written(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    for root, reason in ((file, "it is a file"), (file / "under", "Not a directory"), (Path("/proc/results"), "")):
        with pytest.raises(InputError, match=f"Cannot write results to {root}: {reason}") as caught:
            claim(root, "stem")
        assert "\n" not in str(caught.value)
    assert file.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [file]


def test_list_runs_puts_the_last_started_first_and_leaves_out_the_rest(root):
    (root / "no-document").mkdir()
    (root / "file").touch()
    assert [run.name for run in list_runs(root)] == ["pong-b", "pong-c", "qbert-d"]
    assert list_runs(root / "nowhere") == []


def test_list_runs_keeps_a_damaged_run_where_it_belongs(root):
    (root / "qbert-d" / "run.json").write_text("{")  # just now
    assert [run.name for run in list_runs(root)] == ["qbert-d", "pong-b", "pong-c"]


@pytest.mark.parametrize(
    ("query", "name"),
    [("last", "pong-b"), ("pong-c", "pong-c"), ("q", "qbert-d"), ("qbert-d/", "qbert-d"), ("./pong-c", "pong-c")],
)
def test_find_by_id_prefix_or_last(root, query, name):
    assert find(root, query).resolve() == root / name


def test_find_takes_an_id_before_the_longer_ones_it_begins(root):
    write_document(root, "pong", started="2026-11-01T00:00:00+00:00")
    assert find(root, "pong") == root / "pong"


def test_find_takes_any_path(root, tmp_path, monkeypatch):
    outside = write_document(tmp_path / "elsewhere", "mine")
    assert find(root, str(outside)) == outside
    monkeypatch.chdir(outside.parent)
    assert find(root, "mine").resolve() == outside
    assert find(root, "./mine").resolve() == outside
    monkeypatch.chdir(outside)
    assert find(root, ".").resolve() == outside


def test_find_names_all_that_match(root):
    with pytest.raises(InputError, match=r"'pong' matches 2 runs: pong-b, pong-c\."):
        find(root, "pong")
    with pytest.raises(InputError, match="'' matches 3 runs"):
        find(root, "")


def test_find_names_the_nearest(root):
    with pytest.raises(InputError, match="Did you mean 'qbert-d'"):
        find(root, "qbrt-d")
    write_document(root, "seaquest-a3c-16t-s1-20261121084000-ab12")
    with pytest.raises(InputError, match="Did you mean 'seaquest'"):
        find(root, "saequest")


def test_find_says_what_is_missing(root, tmp_path):
    for query in ("last", "pong"):
        with pytest.raises(InputError, match=f"no run '{query}'.*none yet"):
            find(tmp_path / "nowhere", query)
    with pytest.raises(InputError, match=r"is not a run: it has no run\.json"):
        find(root, str(tmp_path))
    for query in ("x" * 5000, "a\0b", "/proc/1/nothing", "run.json/run.json"):
        with pytest.raises(InputError):
            find(root, query)


HOLD = """
import sys, time
from pathlib import Path
from asyncrl.store.runs import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def refusal(run):
    """Return why a run cannot be owned; None where it can."""
    try:
        with hold(run):
            return None
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_has_one_owner_and_is_free_as_soon_as_that_is_gone(tmp_path, number, faults):
    fault = "a second owner; SIGKILL or SIGTERM to the first"
    for _ in range(faults.times(1, 25)):
        faults.inject(fault)
        assert_owned_by_one(tmp_path, number)
        faults.survive(fault)


def assert_owned_by_one(tmp_path, number):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        message = f"{tmp_path.name} is being trained by process {holder.pid} on {platform.node()}."
        assert refusal(tmp_path) == message
        assert is_held(tmp_path)
        holder.send_signal(number)
        holder.wait()
        with hold(tmp_path):
            assert (tmp_path / "lock").read_text() == f"process {os.getpid()} on {platform.node()}"
    assert refusal(tmp_path) is None
    assert not is_held(tmp_path)


def test_whoever_asks_who_trains_a_run_keeps_nobody_from_it(tmp_path):
    """`asyncrl ls` may ask at any instant."""
    (tmp_path / "lock").touch()
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            is_held(tmp_path)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(200):
            assert refusal(tmp_path) is None
    finally:
        stop.set()
        asking.join()


def test_a_run_can_be_owned_on_a_full_disk(tmp_path):
    with full(0), hold(tmp_path):
        assert refusal(tmp_path).endswith("is being trained by another process.")
    assert refusal(tmp_path) is None
