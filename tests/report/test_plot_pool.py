import warnings
from multiprocessing.context import SpawnProcess

import pandas as pd
import pytest

from asyncrl.report import plot, plot_pool
from asyncrl.report.plot_spec import Axis, PlotSpec


def panel(number, title="panel {}"):
    low, high = [0.0, float(number)], [1.0, number + 1.0]
    rows = {"series": "a3c", "x": [1.0, 2.0], "y": [0.5, number + 0.5], "low": low, "high": high}
    data, spec = pd.DataFrame(rows), PlotSpec(Axis("frames"), Axis("score"))
    return plot.Panel(title.format(number), data, spec, {"a3c": "C0"})


def crowded(number, points):
    plain = panel(number)
    data = plain.data.loc[[0] * points].reset_index(drop=True)
    return plain._replace(data=data, spec=plain.spec._replace(marks="points"))


@pytest.mark.timeout(120)
def test_draw_all_with_several_processes_gives_the_same_drawings_in_order(monkeypatch):
    panels = [panel(number) for number in range(5)]
    alone = list(map(plot.draw, panels))
    monkeypatch.setattr(plot_pool, "PANELS_PER_PROCESS", 2)
    assert list(plot_pool.draw_all(panels, 2)) == alone
    assert len(set(alone)) == 5


@pytest.mark.timeout(120)
def test_draw_all_of_a_panel_that_cannot_be_drawn_raises_one_error(monkeypatch, capfd):
    monkeypatch.setattr(plot_pool, "PANELS_PER_PROCESS", 1)
    drawings = plot_pool.draw_all([panel(1), panel(2)._replace(data=None)], 2)
    next(drawings)
    with pytest.raises((AttributeError, TypeError)):
        next(drawings)
    assert capfd.readouterr().err == ""


def test_draw_all_with_equal_warnings_of_all_panels_issues_one():
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        assert len(list(plot_pool.draw_all([panel(1, "あ {}"), panel(2, "あ {}")]))) == 2
    assert len(issued) == 1
    assert "Glyph 12354" in str(issued[0].message)


def test_draw_all_without_any_process_draws_in_the_parent(monkeypatch):
    def start(*_):
        raise OSError

    monkeypatch.setattr(plot_pool, "PANELS_PER_PROCESS", 1)
    monkeypatch.setattr(SpawnProcess, "start", start)
    panels = [panel(1), panel(2)]
    assert list(plot_pool.draw_all(panels, 2)) == list(map(plot.draw, panels))


@pytest.mark.parametrize(
    "names",
    [
        ["2 threads", "4 threads", "16 threads"],
        ["a3c, lr 7e-5", "a3c, lr 0.0002", "a3c, lr 0.01", "n-step-q, 2 threads", "n-step-q, 16 threads"],
    ],
)
def test_palette_sorts_series_by_their_numbers(names):
    assert list(plot.palette(pd.DataFrame({"series": sorted(names)}))) == names
