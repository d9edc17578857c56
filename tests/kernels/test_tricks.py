"""The tricks whose gain ``benchmarks.kernels`` measures."""

import pytest

from benchmarks.kernels import TRICKS, copy_without


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.name)
def test_a_trick_can_be_taken_out_of_a_copy_of_the_package(trick, tmp_path):
    changed = (copy_without(trick, tmp_path) / "asyncrl" / trick.file).read_text()
    assert all(new in changed for new in trick.changes.values())
