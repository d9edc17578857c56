"""A run that skipped updates names their number at its end: its exit code is that of a success."""

from asyncrl.store import summary
from asyncrl.terminal import rendering
from tests.past import make_run
from tests.terminal.test_rendering import render


def test_outcome_with_skipped_updates_names_their_number_and_the_reason(tmp_path):
    found = summary.details(make_run(tmp_path, "pong-1"))
    assert "not applied" not in render(rendering.outcome(found))
    text = render(rendering.outcome(found | {"updates": 75, "skipped": 92}))
    assert "92 of 167 updates not applied: the gradient was not finite" in text
