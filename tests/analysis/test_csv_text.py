import pandas as pd
import pytest

from asyncrl.analysis.export import csv_text, export
from asyncrl.analysis.selection import Selection
from tests.analysis.stores import lines, stamp, write

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\n=1", "=\udce9", "＝1"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_csv_text_makes_a_formula_a_text(formula):
    cell = csv_text(pd.DataFrame({"a": pd.Series([formula], dtype=object), "b": [1]})).split("\n", 1)[1]
    assert cell.lstrip('"').startswith("'")
    assert cell.encode().decode().lstrip("\"'").startswith(formula[0])


def test_csv_text_escapes_a_carriage_return():
    assert csv_text(pd.DataFrame({"a": ["\r=1"]})) == "a\n\\r=1\n"


def test_csv_text_keeps_numbers_and_other_texts():
    table = pd.DataFrame({"x": [-3.2, 4.0], "n": [-1, 2], "t": ["-3.2", "a=b"], "m": pd.Series([-1.5, "-inf"])})
    assert csv_text(table) == "x,n,t,m\n-3.2,-1,-3.2,-1.5\n4.0,2,a=b,-inf\n"


def test_csv_text_makes_a_formula_in_the_header_a_text():
    assert csv_text(pd.DataFrame({"=1+1": [1]})) == "'=1+1\n1\n"


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_export_of_unclean_names_is_readable(tmp_path, form):
    run = tmp_path / "store" / "=run\udce9"
    write(tmp_path / "store", "run", [1.0], env="=cmd()", protocol="gymnasium").rename(run)
    lines(run, "failures", [stamp(8) | {"worker": 0, "reason": "@\ud800 \x1b[0m"}])
    lines(run, "metrics", [stamp(8) | {"frames_per_second": 1.0, "=\udc80": 1.0}])
    export(Selection(tmp_path / "store"), tmp_path / "out", form)
    mark = "'" if form == "csv" else ""
    read = pd.read_csv if form == "csv" else pd.read_parquet
    runs = read(tmp_path / "out" / f"runs.{form}")
    assert runs[["id", "env"]].iloc[0].tolist() == [f"{mark}=run\\udce9", f"{mark}=cmd()"]
    assert read(tmp_path / "out" / f"failures.{form}")["reason"].item() == rf"{mark}@\ud800 \u001b[0m"
    assert rf"{mark}=\udc80" in read(tmp_path / "out" / f"metrics.{form}")
