"""An export into a directory where the names of its files are taken: nothing blocks, and no link is followed."""

import os

import pandas as pd
import pytest

from asyncrl.analysis.export import export
from asyncrl.analysis.selection import Selection
from tests.analysis.stores import write


@pytest.mark.timeout(30)
@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
def test_export_sets_aside_what_is_no_file(tmp_path, form, kind):
    write(tmp_path / "store", "one", [1.0])
    out, other = tmp_path / "out", tmp_path / "other"
    other.write_text("precious")
    out.mkdir()
    taken = out / f"runs.{form}"
    {"fifo": os.mkfifo, "link": lambda path: path.symlink_to(other), "directory": os.mkdir}[kind](taken)
    export(Selection(tmp_path / "store"), out, form)
    assert other.read_text() == "precious"
    assert taken.is_file()
    assert not taken.is_symlink()
    assert len(pd.read_parquet(taken) if form == "parquet" else pd.read_csv(taken)) == 1
