"""The version is written in pyproject.toml and in CITATION.cff; the changelog describes it."""

import re
import tomllib
from pathlib import Path

import asyncrl
from asyncrl.store import provenance

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_changelog_newest_version_is_that_of_the_project():
    released = re.findall(r"^## \[(\d.*?)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == VERSION


def test_citation_version_is_that_of_the_project():
    lines = (ROOT / "CITATION.cff").read_text().splitlines()
    assert "title: asyncrl" in lines
    assert [line for line in lines if line.startswith("version:")] == [f"version: {VERSION}"]


def test_package_version_is_that_of_the_installed_package():
    assert asyncrl.__version__ == provenance.versions()["asyncrl"]
