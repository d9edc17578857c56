import pandas as pd
import pytest

from asyncrl.analysis.export import export
from asyncrl.analysis.selection import Selection
from asyncrl.errors import InputError
from tests.analysis.stores import straight, write


@pytest.mark.parametrize(("form", "read"), [("parquet", pd.read_parquet), ("csv", pd.read_csv)])
def test_an_export_reads_back_as_what_was_loaded(tmp_path, form, read):
    write(tmp_path / "store", "one", straight(0, 10), threads=4)
    write(tmp_path / "store", "two", straight(0, 20), env="CartPole-v1", protocol="gymnasium", status="failed")
    written = dict(export(Selection(tmp_path / "store"), tmp_path / "out", form))
    assert {file.stem: rows for file, rows in written.items()} == {
        "runs": 2, "evaluations": 20, "metrics": 20, "episodes": 20, "failures": 0, "problems": 1
    }  # fmt: skip
    runs = read(tmp_path / "out" / f"runs.{form}").set_index("id")
    assert (runs.at["one", "threads"], runs.at["two", "env"]) == (4, "CartPole-v1")
    evaluations = read(tmp_path / "out" / f"evaluations.{form}")
    assert list(evaluations.loc[evaluations["run"] == "two", "mean"]) == straight(0, 20)


def test_export_of_an_empty_selection_names_all_its_conditions(tmp_path):
    write(tmp_path, "one", [1.0])
    selection = Selection(tmp_path, where="threads=99", compare=("a: algo=a2c", "b: algo=a3c"))
    with pytest.raises(InputError, match="has threads=99 and is in 'a: algo=a2c' or 'b: algo=a3c'"):
        export(selection, tmp_path / "out", "csv")
    with pytest.raises(InputError, match="No run that was named has threads=99"):
        export(Selection(tmp_path, names=("one",), where="threads=99"), tmp_path / "out", "csv")


@pytest.mark.parametrize(
    ("where", "form", "message"),
    [(None, "xls", "parquet or csv"), ("threads=99", "csv", "No run in .* has threads=99"), (None, "csv", "no runs")],
)
def test_export_of_nothing_raises_an_error(tmp_path, where, form, message):
    if where:
        write(tmp_path, "one", [1.0])
    with pytest.raises(InputError, match=message):
        export(Selection(tmp_path, where=where), tmp_path / "out", form)
    assert not (tmp_path / "out").exists()
