"""Wrong arguments of the benchmarks that compare two versions."""

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import pairs, speed, updates


def invoke(main, *arguments):
    app = typer.Typer()
    app.command()(main)
    # wide, so that no message is wrapped
    return CliRunner(env={"COLUMNS": "400"}).invoke(app, [*map(str, arguments)])


@pytest.mark.parametrize(
    ("main", "words"), [(pairs.main, []), (updates.main, []), (speed.main, ["small", "--against"])]
)
def test_a_directory_without_the_package_is_refused(main, words, tmp_path):
    """Python would import the package of this version in its place, and compare this version with itself."""
    done = invoke(main, *words, tmp_path)
    assert done.exit_code == 2
    assert "has no package asyncrl" in done.output


def test_speed_of_an_unknown_section_is_refused():
    done = invoke(speed.main, "smal")
    assert done.exit_code == 2
    assert "there is no section 'smal'" in done.output
