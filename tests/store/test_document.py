import json
from pathlib import Path

import pytest

from asyncrl.errors import InputError
from asyncrl.store.document import PROGRESS_COLUMNS, RunDocument, Status, read_document, valid_document

PUBLISHED = sorted((Path(__file__).parents[2] / "results" / "published").glob("*/run.json"))
DAMAGED = [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"format": "1"}', b"{}", b"\x80\x04."]
DAMAGED += [b'{"format": 1, "x": ' + b'{"a":' * 50 + b"1" + b"}" * 51, b'{"format": 1, "x": ' + b"1" * 5_000 + b"}"]


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


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"config": []}, r"config should be a table; it is \[\]"),
        ({"config": {"optimizer": {"lr": {}}}}, r"config\.optimizer\.lr should be a number; it is {}"),
        ({"config": {"threads": -5}}, r"config\.threads should be greater than or equal to 1; it is -5"),
        ({"config": {"new": {"text": "x" * 2000}}}, r"config\.new\.text has 2,000 characters"),
        ({"status": 3}, r"status should be .*; it is 3"),
        ({"frames": "far"}, "frames should be a whole number; it is 'far'"),
        ({"started": "9" * 5000}, "started should have at most 1000 characters; it is '9+…"),
        ({"steps": True}, "steps should be a whole number; it is True"),
        ({"updates": 10**400}, r"updates should be less than or equal to \d+; it is 10{50,60}…"),
        ({"provenance": {"cores": "many"}}, r"provenance\.cores should be a whole number; it is 'many'"),
        ({"failure": {"traceback": [1]}}, r"failure\.traceback should be a text; it is \[1\]"),
        ({"exploration": [0.1, "x"]}, r"exploration\.1 should be a number; it is 'x'"),
    ],
)
def test_valid_document_value_of_wrong_type_is_named(tmp_path, fields, message):
    (tmp_path / "run.json").write_text(json.dumps({"format": 1} | fields))
    with pytest.raises(InputError, match=rf"run\.json is damaged: {message}\.") as caught:
        valid_document(tmp_path)
    assert "\n" not in str(caught.value)


def test_valid_document_nulls_have_the_defaults_of_their_fields(tmp_path):
    nulls = '"seconds": NaN, "steps": null, "config": null, "protocol": null, "provenance": {"cores": null}'
    (tmp_path / "run.json").write_text(f'{{"format": 1, {nulls}}}')
    document = valid_document(tmp_path)
    assert (document["seconds"], document["steps"], document["config"], document["protocol"]) == (0.0, 0, {}, None)


def test_valid_document_settings_of_another_version_are_kept_and_the_others_converted(tmp_path):
    config = {"algo": "ppo", "frames": "10M", "optimizer": {"lr": 1, "new": [1]}, "newer": {"a": {"b": None}}}
    (tmp_path / "run.json").write_text(json.dumps({"format": 1, "config": config}))
    assert valid_document(tmp_path)["config"] == config | {"frames": 10_000_000}


def test_document_of_a_newer_version_keeps_unknown_fields_and_statuses():
    document = RunDocument.model_validate({"status": "paused", "later": {"sweep": "s1"}})
    assert (document.status, document.model_extra) == ("paused", {"later": {"sweep": "s1"}})


@pytest.mark.parametrize("status", Status)
def test_status_is_written_as_its_word(status):
    assert json.dumps(status) == f'"{status.value}"'
    assert isinstance(RunDocument.model_validate({"status": status.value}).status, Status)
