"""The errors of tests/planted_errors.py: each has a place in the code (fast), and is caught there (``-m planted``)."""

import ast

import pytest

from tests import planted
from tests.planted import ROOT
from tests.planted_errors import ERRORS

each = pytest.mark.parametrize("error", ERRORS, ids=[error.name for error in ERRORS])


@each
def test_its_place_is_in_the_code(error):
    text = planted.mutate(error)
    if error.file.endswith(".py"):
        ast.parse(text)
    assert all((ROOT / "tests" / test.partition("::")[0]).exists() for test in error.tests.split())


def test_an_error_without_a_place_is_refused():
    with pytest.raises(ValueError, match=r"is 0 times in optim\.py, not once"):
        planted.mutate(ERRORS[0]._replace(file="optim.py"))
    with pytest.raises(ValueError, match=r"times in optim\.py, not once"):
        planted.mutate(ERRORS[0]._replace(file="optim.py", edits={"state": "theta"}))


@pytest.mark.planted
def test_without_an_error_the_tests_pass(tmp_path):
    planted.copy_house(tmp_path)
    code, said = planted.run_tests(tmp_path, sorted({test for error in ERRORS for test in error.tests.split()}))
    assert code == 0, said[-2000:]


@pytest.mark.planted
@pytest.mark.timeout(planted.SECONDS + 30)
@each
def test_it_is_caught(error):
    assert planted.caught_by(error)
