"""Names, options and stored texts that are markup, or that a terminal would interpret."""

import io
import json
import re

import pytest
from rich.text import Text

from asyncrl import text
from asyncrl.cli.app import main
from asyncrl.config import RunConfig
from asyncrl.store.rows import Writer
from asyncrl.terminal import live
from asyncrl.terminal.console import SafeConsole
from tests.past import make_run, write_document
from tests.terminal.test_live import PROGRESS

HOSTILE = [
    "[/b]",
    "[red]x[/red]",
    "[link=file:///etc/passwd]x[/link]",
    "\\[b]",
    ":smiley:",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b2J",
    "a\u202egnp.exe",
    "two\nlines",
    "a\ttab\rreturn",
    "\x08\x08\x0b\x0c",
    "\u2066\u200f\u2028",
    "caf\udce9",
]
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture
def asyncrl(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command line in an empty directory: exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASYNCRL_RESULTS", raising=False)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        out, err = capsys.readouterr()
        assert not FORBIDDEN.search(out + err)
        assert "Traceback" not in out + err
        return int(end.value.code or 0), out, err

    return run


@pytest.mark.parametrize("name", HOSTILE)
def test_escaped_text_is_printable_and_loses_nothing(name):
    shown = text.escape(name)
    assert not FORBIDDEN.search(shown)
    assert "\n" not in shown
    assert "\\[" in name or json.loads(f'"{shown}"') == name


@pytest.mark.parametrize("name", ["Zürich", "パックマン", "é–ε", "👩‍🚀", "a b", "C:\\new"])
def test_escape_leaves_ordinary_text_as_it_is(name):
    assert text.escape(name) == name


@pytest.mark.parametrize("hostile", HOSTILE)
def test_ls_and_show_print_stored_texts_as_they_are(asyncrl, tmp_path, hostile):
    config = RunConfig(env=hostile, threads=2).model_dump(mode="json")
    failure = {"worker": 0, "reason": hostile, "traceback": f'  File "{hostile}", line 1\n'}
    stored = {"config": config, "protocol": hostile, "status": "failed", "reason": hostile, "failure": failure}
    run = write_document(
        tmp_path / "results", "mine", **json.loads(json.dumps({"id": "mine", **stored}).replace("\\udce9", "?"))
    )
    with Writer(run) as writer:
        row = {"frames": 1, "worker": 0, "reason": hostile.replace("\udce9", "?"), "is_final": False}
        writer.append("failures", row)
    shown = text.escape(hostile.replace("\udce9", "?"))
    code, out, _ = asyncrl("ls")
    assert code == 0
    assert shown in out
    assert len(out.splitlines()) == 2
    code, out, _ = asyncrl("show", "mine")
    assert code == 0
    assert out.count(shown) >= 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "--where", "env={}"],
        ["ls", "--results", "runs{}"],
        ["show", "{}"],
        ["show", "--results", "runs{}"],
        ["export", "--format", "{}"],
        ["run", "--env", "{}"],
        ["run", "--algo", "{}"],
        ["run", "--set", "{}=1"],
        ["run", "--config", "{}"],
        ["{}"],
    ],
)
def test_option_is_printed_as_it_is_on_one_line(asyncrl, tmp_path, arguments):
    make_run(tmp_path / "results", "mine")
    for hostile in ("[/b]", "[red]", "\x1b[31m", "a\u202eb", "x\ny"):
        code, out, err = asyncrl(*(argument.format(hostile) for argument in arguments))
        assert code in (0, 2)
        assert (out + err).count("\n") == 1
        spellings = {text.escape(hostile), repr(hostile)[1:-1]}  # some messages quote what was typed
        assert any(each in out + err for each in spellings)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_live_view_prints_names_and_reasons_as_they_are(hostile):
    progress = PROGRESS._replace(statistics={hostile: 1.5}, store_problem=hostile)
    console = SafeConsole(file=io.StringIO(), width=80, color_system=None)
    console.print(live.view(RunConfig(env=hostile), progress))
    out = console.file.getvalue()
    assert not FORBIDDEN.search(out)
    assert out.count(text.escape(hostile)[:9]) == 3
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("hostile", HOSTILE)
def test_console_escapes_texts_that_no_view_has_escaped(hostile):
    console = SafeConsole(file=io.StringIO(), width=80, color_system=None)
    console.print(Text(hostile), hostile)
    assert not FORBIDDEN.search(console.file.getvalue())


def test_error_text_of_megabytes_is_shortened(asyncrl, tmp_path):
    make_run(tmp_path / "results", "mine", status="failed", reason="x" * 3_000_000)
    code, out, _ = asyncrl("show")
    assert code == 0
    assert len(out) < 5_000
    assert "characters)" in out
