"""Damage to the cache: the rows are read from the JSON lines again, and are never wrong."""

import os
import random
import shutil

import pandas as pd
import pytest

from asyncrl.analysis import cache
from asyncrl.analysis.load import TABLES, load
from asyncrl.analysis.selection import Selection
from tests.analysis.stores import straight, write


@pytest.fixture
def root(tmp_path):
    """A store with one finished run, whose rows are cached."""
    write(tmp_path, "done", straight(0, 10))
    load(Selection(tmp_path))
    return tmp_path


def assert_same(first, second):
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name))


@pytest.mark.faults
def test_cache_file_with_any_changed_byte_is_not_read(root):
    first, rng = load(Selection(root)), random.Random(7)
    for file in sorted((root / cache.FOLDER).iterdir()):
        whole = file.read_bytes()
        for _ in range(6):
            data = bytearray(whole)
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            file.write_bytes(data)
            assert_same(load(Selection(root)), first)
            file.write_bytes(whole)


REPLACEMENTS = {
    "empty": lambda path: path.touch(),
    "short": lambda path: path.write_bytes(b"ARROW1"),
    "directory": lambda path: path.mkdir(),
    "FIFO": lambda path: os.mkfifo(path),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "sparse": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", REPLACEMENTS)
def test_cache_file_or_folder_of_another_kind_is_not_read(root, kind):
    first = load(Selection(root))
    for file in sorted((root / cache.FOLDER).iterdir()):
        file.unlink()
        REPLACEMENTS[kind](file)
    assert_same(load(Selection(root)), first)
    shutil.rmtree(root / cache.FOLDER)
    REPLACEMENTS[kind](root / cache.FOLDER)
    assert_same(load(Selection(root)), first)


def test_cache_file_of_another_table_is_not_read(root):
    first, folder = load(Selection(root)), root / cache.FOLDER
    shutil.copy(folder / "done.episodes.arrow", folder / "done.metrics.arrow")
    assert_same(load(Selection(root)), first)
