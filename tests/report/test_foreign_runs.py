"""Reports of runs that other people made: their files are links, FIFOs and devices."""

import os

import pytest

from asyncrl.errors import InputError
from tests.analysis.stores import straight, write
from tests.report.reports import make

SECRET = b"root:x:0:0"


def link_out(run, name):
    target = run.parent.parent / "secret"
    target.write_bytes(SECRET)
    (run / f"{name}.gif").symlink_to(target)


def link_relative(run, name):
    (run.parent.parent / "secret").write_bytes(SECRET)
    (run / f"{name}.mp4").symlink_to("../../secret")


def fifo(run, name):
    os.mkfifo(run / f"{name}.gif")


def device(run, name):
    (run / f"{name}.mp4").symlink_to("/dev/zero")


def directory(run, name):
    (run / f"{name}.gif").mkdir()


def large(run, name):
    with (run / f"{name}.mp4").open("wb") as file:
        file.truncate(2**34)


@pytest.fixture
def root(tmp_path):
    """Return a store with one run, in which every file that ends as a video does is something else, but one."""
    run = write(tmp_path / "runs", "one", straight(-20, 1))
    for number, plant in enumerate((link_out, link_relative, fifo, device, directory, large)):
        plant(run, f"{number}")
    (run / "y.gif").write_bytes(b"GIF89a")
    return tmp_path / "runs"


def test_report_of_a_foreign_run_shows_only_its_own_files_and_writes_through_no_link(root, tmp_path, quick):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    names = ["report.html", "report.md", "tables/overview.csv"]
    for name in names:
        file = root / "report" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(mine)
    _, page = make(root)
    assert 'src="data:image/gif;base64,R0lGODlh"' in page
    assert page.count("data:video") + page.count("data:image/gif") == 1
    assert "Not shown: 6 videos " in page
    assert "cm9vdDp4OjA6M" not in page  # the secret in base64
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("folder", ["figures", "tables"])
def test_report_into_a_linked_folder_is_refused(root, tmp_path, folder):
    (tmp_path / "mine").mkdir()
    (root / "report").mkdir()
    (root / "report" / folder).symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match="is a link"):
        make(root)
    assert list((tmp_path / "mine").iterdir()) == []
