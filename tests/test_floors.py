"""The house has floors and imports only go down: read off every import statement, nothing is executed."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {
    "errors": -1,  # the ground: anything may raise an InputError
    **dict.fromkeys(("config", "events", "rollout", "returns", "schedules", "text"), 0),  # words and mathematics
    **dict.fromkeys(("machine", "native", "birth"), 0),  # its processors; compiled mathematics; how processes begin
    **dict.fromkeys(("optim", "networks", "envs", "store"), 1),  # materials
    **dict.fromkeys(("learners", "analysis", "facts", "endings"), 2),  # the algorithms; what is made of the store
    **dict.fromkeys(("runtime", "logbook"), 3),  # processes; what is written of them
    **dict.fromkeys(("parts", "snapshot", "preflight"), 4),  # what a run is made of; what is kept of it; what it needs
    "session": 5,  # one sitting of it
    "experiment": 6,  # the only one that knows everything
    **dict.fromkeys(("sweep", "display", "pages", "video", "doctor"), 7),
    "cli": 8,
    "__main__": 9,
}
LEARNERS_THE_RUNTIME_KNOWS = {"asyncrl.learners.base"}


def read_modules(root: Path) -> dict[str, ast.Module]:
    """Parse every module below ``root/asyncrl``, by its dotted name; a package stands for its ``__init__``."""
    names = {path: path.relative_to(root).with_suffix("").parts for path in (root / "asyncrl").rglob("*.py")}
    return {".".join(p for p in parts if p != "__init__"): ast.parse(path.read_text()) for path, parts in names.items()}


def imports(tree: ast.Module, modules: dict[str, ast.Module]) -> set[str]:
    """Return every module that is imported anywhere in a file, inside functions and type-checking blocks too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = names & modules.keys()
            found |= submodules if submodules == names else submodules | {node.module}
    return found


def part(module: str) -> str:
    """Return the file or folder of the house that a module belongs to: ``asyncrl.envs.atari`` is in ``envs``."""
    return module.split(".")[1]


def ours(module: str) -> bool:
    return module.startswith("asyncrl.")


def violations(root: Path) -> list[str]:
    """Return one line for every import that breaks the plan."""
    modules = read_modules(root)
    edges = {name: imports(tree, modules) for name, tree in modules.items()}
    packages = {
        path.parent.relative_to(root).as_posix().replace("/", ".") for path in (root / "asyncrl").rglob("__init__.py")
    }
    found = [f"{name}: an __init__ imports nothing" for name in packages & edges.keys() if edges[name]]
    for name in filter(ours, edges):
        if part(name) not in FLOORS:
            found.append(f"{name}: has no floor; give it one in FLOORS")
            continue
        found += [f"{name}: imports {other}" for other in edges[name] if not allowed(name, other)]
        if part(name) == "analysis" and "torch" in reach(name, edges):
            found.append(f"{name}: reaches torch; analysis never does")
    return sorted(found)


def allowed(name: str, other: str) -> bool:
    """Say whether module ``name`` may import ``other``: what is not ours, its own folder, or what lies below."""
    if not ours(other):
        return other != "asyncrl"  # the package itself is empty
    if part(name) == part(other):
        return True
    if part(name) == "runtime" and part(other) in ("store", "learners"):
        return other in LEARNERS_THE_RUNTIME_KNOWS
    return FLOORS[part(name)] > FLOORS.get(part(other), len(FLOORS))


def reach(name: str, edges: dict[str, set[str]]) -> set[str]:
    """Return the top-level packages that importing a module brings in, through our own modules."""
    seen, todo = set(), [name]
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo += edges.get(module, ())
    return {module.split(".")[0] for module in seen}


def test_imports_only_go_down():
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("path", "source", "says"),
    [
        ("returns.py", "import asyncrl.optim", "asyncrl.returns: imports asyncrl.optim"),
        ("rollout.py", "from asyncrl import config", "asyncrl.rollout: imports asyncrl.config"),
        (
            "optim.py",
            "def f():\n    from asyncrl.store.rows import read_rows",
            "asyncrl.optim: imports asyncrl.store.rows",
        ),
        (
            "envs/atari.py",
            "from asyncrl.networks.bodies import Nips",
            "asyncrl.envs.atari: imports asyncrl.networks.bodies",
        ),
        (
            "learners/a3c.py",
            "from asyncrl.runtime import shared",
            "asyncrl.learners.a3c: imports asyncrl.runtime.shared",
        ),
        (
            "runtime/worker.py",
            "from asyncrl.store.rows import Writer",
            "asyncrl.runtime.worker: imports asyncrl.store.rows",
        ),
        (
            "runtime/worker.py",
            "from asyncrl.learners.a3c import A3C",
            "asyncrl.runtime.worker: imports asyncrl.learners.a3c",
        ),
        ("display.py", "from asyncrl.doctor import check", "asyncrl.display: imports asyncrl.doctor"),
        ("experiment.py", "import asyncrl", "asyncrl.experiment: imports asyncrl"),
        ("analysis/scores.py", "import torch.nn", "asyncrl.analysis.scores: reaches torch; analysis never does"),
        ("envs/__init__.py", "import numpy", "asyncrl.envs: an __init__ imports nothing"),
        ("__init__.py", "import typing", "asyncrl: an __init__ imports nothing"),
        ("helpers.py", "", "asyncrl.helpers: has no floor; give it one in FLOORS"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, path, source, says):
    plant(tmp_path, {"config.py": "", "runtime/shared.py": "", path: source})
    assert violations(tmp_path) == [says]


def test_torch_is_found_through_the_store(tmp_path):
    plant(
        tmp_path, {"analysis/scores.py": "from asyncrl.store import checkpoint", "store/checkpoint.py": "import torch"}
    )
    assert violations(tmp_path) == ["asyncrl.analysis.scores: reaches torch; analysis never does"]


def test_what_the_plan_allows_is_let_through(tmp_path):
    sources = {
        "config.py": "from asyncrl.errors import InputError",
        "envs/make.py": "from asyncrl.envs.base import Spec\nimport numpy",
        "envs/base.py": "import typing",
        "runtime/worker.py": "from asyncrl.learners.base import Learner\nfrom asyncrl.schedules import crossed",
        "experiment.py": "from asyncrl.learners import a3c\nfrom asyncrl.store import rows",
        "cli.py": "from asyncrl import experiment",
    }
    plant(tmp_path, sources)
    assert violations(tmp_path) == []


def plant(root: Path, sources: dict[str, str]) -> None:
    """Write a package ``asyncrl`` with these files and an empty ``__init__`` in each of its folders."""
    for path, source in {"__init__.py": "", **sources}.items():
        file = root / "asyncrl" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(source)
