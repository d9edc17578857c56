"""The command line of ``benchmarks.time_to_score`` in this process."""

import pytest

from benchmarks.time_to_score import main


@pytest.fixture
def time_to_score(capsys):
    """Return a function that runs a command; it returns its exit code, output and errors."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run
