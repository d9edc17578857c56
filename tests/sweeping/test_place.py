"""Directories of sweeps without a declaration, or with a damaged one."""

import pytest

from asyncrl.errors import InputError

TABLE = {"base": {"env": "CartPole-v1", "frames": 6000, "threads": 1}}


@pytest.mark.parametrize("entries", [[], ["lock"], ["lock", ".tmp-1234"]])
def test_sweep_killed_before_its_declaration_was_written_starts(entries, train, tmp_path):
    (tmp_path / "s").mkdir()
    for name in entries:
        (tmp_path / "s" / name).touch()
    assert train(TABLE).progress.finished == 1
    assert not list((tmp_path / "s").glob(".tmp-*"))


def test_sweep_whose_declaration_was_removed_continues(train, tmp_path):
    train(TABLE)
    (tmp_path / "s/sweep.toml").unlink()
    assert train(TABLE).progress.finished == 1
    assert (tmp_path / "s/sweep.toml").exists()


def test_sweep_with_a_damaged_declaration_continues_as_its_message_says(train, tmp_path):
    train(TABLE)
    text = (tmp_path / "s/sweep.toml").read_text()
    (tmp_path / "s/sweep.toml").write_text("[[")
    with pytest.raises(InputError, match="copy the sweep's file over it"):
        train(TABLE)
    (tmp_path / "s/sweep.toml").write_text(text)
    assert train(TABLE).progress.finished == 1


@pytest.mark.parametrize("name", ["notes.txt", "pong-20260101", "run.json"])
def test_directory_of_something_else_is_refused(name, train, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / name).touch()
    with pytest.raises(InputError, match="is not the directory of a sweep"):
        train(TABLE)
    assert [each.name for each in (tmp_path / "s").iterdir()] == [name]
