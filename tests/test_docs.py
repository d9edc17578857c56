"""The documents name every column of the files, every statistic of the learners, and only files that exist."""

import re
from functools import cache
from pathlib import Path

import pytest

from asyncrl import experiment
from asyncrl.config import ALGOS
from asyncrl.events import Incident, Severity
from asyncrl.runtime import profiler
from asyncrl.store.document import PROGRESS_COLUMNS, RunDocument, read_document
from asyncrl.store.provenance import collect
from asyncrl.store.rows import read_rows
from tests.runtime.setups import actor, prepare, resolve

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "results/published/README.md"])
SETTINGS = {"algo": "a3c", "frames": 200, "profile": True, "evaluation": {"every": 100, "episodes": 2}}


def documented(section):
    """Return the names in the first column of all tables of a section of docs/metrics.md, in code spans."""
    sections = re.split(r"^## ", (ROOT / "docs/metrics.md").read_text(), flags=re.MULTILINE)
    (text,) = [text for text in sections if text.startswith(f"{section}\n")]
    cells = re.findall(r"^\| (`[^|]*) \|", text, flags=re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a finished run of A3C with one worker, profiled and evaluated, also by ``asyncrl eval``."""
    path = experiment.train(resolve(**SETTINGS), tmp_path_factory.mktemp("results"), "one")
    experiment.evaluate(path, episodes=1)
    return path


@pytest.mark.parametrize("name", ["episodes", "metrics", "evaluations"])
def test_metrics_page_real_run_names_every_column(run, name):
    columns = set().union(*read_rows(run, name))
    assert columns > set(PROGRESS_COLUMNS)
    assert columns <= documented("Columns of all rows") | documented(f"{name}.jsonl")


@pytest.mark.parametrize("algo", ALGOS)
def test_metrics_page_learner_names_every_statistic(algo):
    worker = actor(*prepare(algo=algo))
    worker.update()
    worker.environments.close()
    assert worker.reporter.sums
    assert set(worker.reporter.sums) <= documented("metrics.jsonl")


def test_metrics_page_profiler_names_every_phase():
    assert {f"{phase}_us" for phase in profiler.PHASES} <= documented("metrics.jsonl")


def test_metrics_page_incident_names_every_column():
    assert set(Incident("session", Severity.FATAL, "test").row()) <= documented("failures.jsonl")


def test_metrics_page_run_json_names_every_key(run):
    keys = set(read_document(run)) | set(RunDocument.model_fields) | set(collect())
    assert keys <= documented("run.json")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_links_lead_to_existing_files_and_headings(page):
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not heading or heading in headings(file), f"{target}#{heading}"


def headings(page):
    """Return the anchors of a page's headings, as GitHub forms them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_names_only_source_files_that_exist(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for name in re.findall(r"`((?:\w+/)*\w+\.(?:py|c))`", text):
        assert (ROOT / name).exists() or [*ROOT.glob(f"asyncrl/{name}"), *ROOT.glob(f"asyncrl/*/{name}")], name


def terms():
    """Return the rows of the glossary: term, meaning, code."""
    rows = re.findall(
        r"^\| \*\*(.*)\*\*(.*?) \| (.*) \| (.*) \|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE
    )
    return [(term + more, meaning, code) for term, more, meaning, code in rows]


def test_glossary_terms_are_unique_and_sorted():
    names = [re.sub(r"[\W_]", "", term.lower()) for term, _, _ in terms()]
    latin = [name for name in names if name[0] not in "βγεηθ"]
    assert latin == sorted(latin) == names[: len(latin)]
    assert len({term for term, _, _ in terms()}) == len(names)


def test_glossary_code_column_names_only_existing_code():
    unknown = {term: spans for term, _, code in terms() if (spans := unknown_spans(code))}
    assert not unknown


def test_architecture_page_names_only_existing_code():
    text = re.sub(r"^```.*?^```", "", (ROOT / "docs/architecture.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    assert not unknown_spans(text)


def unknown_spans(text):
    """Return the code spans with a word that is in no source file, in no file's name and in no setting."""
    return [span for span in re.findall(r"`([^`]*)`", text) if not set(re.findall(r"\w+", span)) <= known_words()]


@cache
def known_words():
    """Return all words of the source files and of their names."""
    files = [*ROOT.glob("asyncrl/**/*.py"), ROOT / "asyncrl/presets.toml", ROOT / "pyproject.toml", ROOT / "Makefile"]
    source = "\n".join(f"{file}\n{file.read_text()}" for file in files)
    return set(re.findall(r"\w+", source)) | {"diff"}
