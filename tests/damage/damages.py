"""Kinds of damage to a run's directory: to one field, or to a whole file."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROW_FILES = ("episodes.jsonl", "metrics.jsonl", "evaluations.jsonl", "failures.jsonl")
TEXT_FILES = ("run.json", *ROW_FILES)
MISSING = object()
VALUES = {
    "missing": MISSING,
    "null": None,
    "text": "far",
    "number": 7.25,
    "list": [1],
    "table": {"a": {"b": 1}},
    "bool": True,
    "huge": 10**400,
    "infinite": float("inf"),
    "negative": -5,
    "nan": float("nan"),
    "long": "x" * 200_000,
    "control": "a\x1b[31m\n\x00[/b] \ud800=cmd|$^{",
}


class Damage(NamedTuple):
    """One damage: its name, and the function that applies it to a run's directory."""

    name: str
    apply: Callable[[Path], object]


def field_damages(run: Path) -> list[Damage]:
    """Return a damage for each value of each field of run.json, and of the second row of each row file."""
    document = json.loads((run / "run.json").read_text())
    found = [_field("run.json", place, value) for place in _places(document) for value in VALUES]
    for name in ROW_FILES:
        row = json.loads((run / name).read_text().splitlines()[1])
        found += [_field(name, (column,), value) for column in [*row, "run", "new"] for value in VALUES]
    return found


def _places(table: dict, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [(*prefix, name) for name in table]
    inner = {(*prefix, name): value for name, value in table.items() if isinstance(value, dict)}
    return found + [place for name, value in inner.items() for place in _places(value, name)]


def _field(file: str, place: tuple[str, ...], kind: str) -> Damage:
    def apply(run: Path) -> None:
        lines = (run / file).read_text().splitlines() if file in ROW_FILES else [(run / file).read_text()]
        changed = 1 if file in ROW_FILES else 0
        table = json.loads(lines[changed])
        inner = table
        for name in place[:-1]:
            inner = inner[name]
        inner.pop(place[-1], None)
        if VALUES[kind] is not MISSING:
            inner[place[-1]] = VALUES[kind]
        lines[changed] = json.dumps(table)
        (run / file).write_text("\n".join(lines) + "\n")

    return Damage(f"{file} {'.'.join(place)} {kind}", apply)


def file_damages() -> list[Damage]:
    """Return a damage for each kind of object in the place of each file, and for each kind of content."""
    objects = {
        "missing": lambda path: None,
        "directory": lambda path: path.mkdir(),
        "FIFO": lambda path: os.mkfifo(path),
        "socket": _make_socket,
        "dangling link": lambda path: path.symlink_to("nowhere"),
        "link to itself": lambda path: path.symlink_to(path.name),
        "link to a device": lambda path: path.symlink_to("/dev/zero"),
        "link to elsewhere": lambda path: path.symlink_to("/etc/passwd"),
        "unreadable": lambda path: path.symlink_to("/proc/self/mem"),
        "no permission": lambda path: (path.write_text("{}"), path.chmod(0)),
        "empty": lambda path: path.touch(),
        "binary": lambda path: path.write_bytes(bytes(range(256)) * 20 + b"\n"),
        "sparse": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
    }
    lines = {
        "table without keys": "{}",
        "list": "[1, 2]",
        "number": "3",
        "text": '"text"',
        "null": "null",
        "deep": "[" * 100_000,
        "deep table": '{"a":' * 900 + "1" + "}" * 900,
        "many digits": '{"format": ' + "1" * 10_000 + "}",
        "long line": '{"format": 1, "text": "' + "x" * 5_000_000 + '"}',
        "many keys": json.dumps({"format": 1} | {f"key {i}": i for i in range(5_000)}),
    }
    found = [_file(name, kind, make) for name in (*TEXT_FILES, "lock", "checkpoints") for kind, make in objects.items()]
    found += [Damage(f"{name} truncated", lambda run, name=name: _cut(run / name)) for name in TEXT_FILES]
    found += [
        Damage(f"run.json of a {kind}", lambda run, line=line: (run / "run.json").write_text(line))
        for kind, line in lines.items()
    ]
    return found + [
        Damage(f"{name} with a row of a {kind}", lambda run, name=name, line=line: _insert(run / name, line))
        for name in ROW_FILES
        for kind, line in lines.items()
    ]


def _file(name: str, kind: str, make: Callable[[Path], object]) -> Damage:
    def apply(run: Path) -> None:
        path = run / name
        if path.is_dir():
            path.rename(run / ".moved")
        path.unlink(missing_ok=True)
        make(path)

    return Damage(f"{name} {kind}", apply)


def _make_socket(path: Path) -> None:
    """Bind a socket under a relative path, since the length of an absolute one is limited."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(before)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _insert(path: Path, line: str) -> None:
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([first, line, *others]) + "\n")
