import json
from pathlib import Path

import pytest

from asyncrl.errors import InputError
from asyncrl.store.document import PROGRESS_COLUMNS, RunDocument, Status, read_document

PUBLISHED = sorted((Path(__file__).parents[2] / "results" / "published").glob("*/run.json"))
DAMAGED = [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"format": "1"}', b"{}", b"\x80\x04."]


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_document_is_named(tmp_path, text):
    (tmp_path / "run.json").write_bytes(text)
    with pytest.raises(InputError, match=r"run\.json is damaged"):
        read_document(tmp_path)


def test_a_newer_document_is_refused(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(InputError, match="newer asyncrl"):
        read_document(tmp_path)


def test_an_unreadable_document_is_named(tmp_path):
    (tmp_path / "run.json").mkdir()
    with pytest.raises(InputError, match="Cannot read"):
        read_document(tmp_path)
    with pytest.raises(InputError, match="not a run"):
        read_document(tmp_path / "nowhere")


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_document_of_a_published_run_has_every_value_unchanged_and_in_order(path):
    fields = read_document(path.parent)
    document = RunDocument.model_validate(fields)
    assert json.loads(document.model_dump_json(exclude_unset=True)) == fields
    known = [name for name in fields if name in RunDocument.model_fields]
    assert known == [name for name in RunDocument.model_fields if name in fields]


def test_document_without_fields_has_defaults():
    document = RunDocument.model_validate({})
    assert (document.status, document.config, document.frames_per_step, document.provenance.cpu) == (None, {}, 1, None)
    assert [getattr(document, name) for name in PROGRESS_COLUMNS] == [0, 0, 0, 0.0]


def test_document_with_values_of_wrong_types_has_their_defaults():
    fields = {"id": 3, "config": [], "provenance": {"cores": "many", "cpu": "A CPU"}, "frames": "far", "steps": 7}
    document = RunDocument.model_validate(fields)
    assert (document.id, document.config, document.frames, document.steps) == (None, {}, 0, 7)
    assert (document.provenance.cores, document.provenance.cpu) == (None, "A CPU")


def test_document_of_a_newer_version_keeps_unknown_fields_and_statuses():
    document = RunDocument.model_validate({"status": "paused", "tags": {"sweep": "s1"}})
    assert (document.status, document.model_extra) == ("paused", {"tags": {"sweep": "s1"}})


@pytest.mark.parametrize("status", Status)
def test_status_is_written_as_its_word(status):
    assert json.dumps(status) == f'"{status.value}"'
    assert isinstance(RunDocument.model_validate({"status": status.value}).status, Status)
