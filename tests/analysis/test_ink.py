import pandas as pd
import pytest

from asyncrl.analysis import ink
from asyncrl.analysis.figures import Axis, Picture


def panel(number):
    low, high = [0.0, float(number)], [1.0, number + 1.0]
    rows = {"series": "a3c", "x": [1.0, 2.0], "y": [0.5, number + 0.5], "low": low, "high": high}
    return ink.Panel(f"panel {number}", pd.DataFrame(rows), Picture(Axis("frames"), Axis("score")), {"a3c": "C0"})


@pytest.mark.timeout(120)
def test_several_processes_draw_what_one_does_in_the_same_order(monkeypatch):
    panels = [panel(number) for number in range(5)]
    alone = list(ink.draw_all(panels, 2))
    monkeypatch.setattr(ink, "A_PROCESS", 2)
    assert list(ink.draw_all(panels, 2)) == alone
    assert len(set(alone)) == 5
