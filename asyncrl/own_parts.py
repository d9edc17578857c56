"""Learners, networks and optimizers of the user, named ``module:Name``."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from asyncrl.envs.contract import user_code
from asyncrl.envs.gym import import_user_module
from asyncrl.errors import InputError, nearest


def is_own(name: str) -> bool:
    """Return whether a name is that of a part of the user, and not of the package."""
    return ":" in name


def load(name: str) -> Callable[..., Any]:
    """Import a part; raise InputError where that fails, or there is no such class or function."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute.isidentifier():
        raise InputError(f"{name!r} is not of the form module:Name.")
    module = import_user_module(module_name)
    found = getattr(module, attribute, None)
    if callable(found):
        return found  # type: ignore[no-any-return]
    known = [known for known, value in vars(module).items() if callable(value)]
    raise InputError(f"{module_name!r} has no class or function {attribute!r}.{nearest(attribute, known)}")


def make(name: str, available: Mapping[str, Any], needed: tuple[str, ...]) -> Any:
    """Make a part whose fields, by name, have some of the available values.

    Args:
        name: of a dataclass.
        available: values by name of the field.
        needed: attributes that the part must have.

    Raises:
        InputError: it is no dataclass, lacks an attribute, or has a field without a value.
    """
    part = load(name)
    if not (isinstance(part, type) and is_dataclass(part)):
        raise InputError(f"{name} is not a dataclass.")
    if missing := [attribute for attribute in needed if attribute not in (*field_names(part), *dir(part))]:
        raise InputError(f"{name} lacks {', '.join(missing)}.")
    values = {}
    for field in fields(part):
        if field.init and field.name in available:
            values[field.name] = available[field.name]
        elif field.init and field.default is MISSING and field.default_factory is MISSING:
            raise InputError(
                f"{name} has a field {field.name!r} without a default. Fields with a value are {', '.join(available)}."
            )
    with user_code(f"Cannot make {name}"):
        return part(**values)


def field_names(part: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a dataclass's fields; none for another class or a function."""
    return tuple(field.name for field in fields(part)) if is_dataclass(part) else ()


def file_and_digest(name: str) -> dict[str, str]:
    """Return the name of a part with its file and the file's SHA-256, as run.json keeps them."""
    file = Path(getattr(import_user_module(name.partition(":")[0]), "__file__", None) or "")
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        digest = ""
    return {"name": name, "file": file.name, "sha256": digest}
