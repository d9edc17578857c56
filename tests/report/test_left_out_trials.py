"""Trials that a search could not train, in the report of its sweep."""

import optuna

from asyncrl.analysis.selection import Selection
from asyncrl.report.gather import Request, gather
from tests.report.searches import make_search


def test_report_of_a_search_leaves_out_trials_that_cannot_be_trained(tmp_path):
    sweep = make_search(tmp_path / "results")
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{sweep / 'study.db'}")
    best = study.best_trial.number
    study.set_user_attr(f"invalid-{best}", "its settings are not valid together")
    found = gather(Request(Selection(tmp_path / "results", ("sweep:search",)), tmp_path / "report"))
    (section,) = [section for section in found.sections if section.search]
    assert best not in list(section.search.data["trial"])
    assert "1 trial had settings that cannot be trained." in section.search.text
    shown = {trial.number: trial.value for trial in section.search.study.trials if trial.value is not None}
    assert shown == dict(zip(section.search.data["trial"], section.search.data["value"], strict=True))
