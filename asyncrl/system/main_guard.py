"""Detects a script that would train again in every process that it starts.

A spawned process imports the script of its parent, and so repeats what is not under ``if __name__ == "__main__":``.
"""

import ast
import sys
from types import FrameType

GUARDS = {"__name__", "parent_process", "current_process"}  # names in a condition that may differ in an import


def is_unguarded() -> bool:
    """Return whether an import of the main script would surely repeat the call that this thread is making.

    False where that is not known, as for a script without source, or a call from another thread.
    """
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    # these are not imported again: interactive input, and ``python -m package``
    if not hasattr(main, "__file__") or (spec is not None and spec.name.rpartition(".")[2] == "__main__"):
        return False
    frame = _module_frame(main.__dict__)
    if frame is None:
        return False
    try:
        with open(frame.f_code.co_filename, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    before = (node for node in ast.walk(tree) if getattr(node, "lineno", sys.maxsize) <= frame.f_lineno)
    conditions = [node.test for node in before if isinstance(node, ast.If | ast.IfExp)]
    return not any(_names(condition) & GUARDS for condition in conditions)


def _module_frame(variables: dict[str, object]) -> FrameType | None:
    """Return the frame of this thread that runs the statements of a module, from the module's variables."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and not (frame.f_globals is variables and frame.f_code.co_name == "<module>"):
        frame = frame.f_back
    return frame


def _names(node: ast.AST) -> set[str]:
    each = ast.walk(node)
    return {found.id if isinstance(found, ast.Name) else getattr(found, "attr", "") for found in each}
