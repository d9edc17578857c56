"""The file of a search's study, ``study.db``: opened by a driver, or read by reports and previews without any write.

Optuna is imported only where a study is opened.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from asyncrl.errors import InputError
from asyncrl.sweeping.parameters import STUDY
from asyncrl.system.files import open_regular
from asyncrl.text import error_text, escape, one_line, shorten

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

MAX_STUDY_BYTES = 1 << 28
MAX_INSTRUCTIONS = 20_000_000  # of SQLite, for one query: about a second


def exists(sweep: Path) -> bool:
    """Return whether something has the name of a sweep's study."""
    return os.path.lexists(sweep / STUDY)


def open_or_create(sweep: Path) -> "Study":
    """Return the study of a sweep for its driver, which holds the sweep's lock.

    Raises:
        InputError: the file cannot be used.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _explained(sweep):
        if exists(sweep):
            open_regular(sweep / STUDY).close()
        # An absolute path: the working directory may change.
        storage = optuna.storages.RDBStorage(f"sqlite:///{(sweep / STUDY).resolve()}")
        if not optuna.get_all_study_names(storage):
            return optuna.create_study(storage=storage, study_name=sweep.name, direction="maximize")
        study = _load(sweep, storage)
        study.get_trials(deepcopy=False)  # raises here where a row is damaged
        return study


def is_told(sweep: Path, n: int) -> bool:
    """Return whether a study has so many trials, and all have ended; without Optuna, which takes a second to import."""
    try:
        open_regular(sweep / STUDY).close()
        path = quote(str((sweep / STUDY).resolve()))
        with closing(sqlite3.connect(f"file:{path}?mode=ro", timeout=1, uri=True)) as database:
            # The file may come from anywhere: a query without end is cut off.
            database.set_progress_handler(lambda: 1, MAX_INSTRUCTIONS)
            states = [state for (state,) in database.execute("SELECT state FROM trials LIMIT 100001")]
    except (OSError, sqlite3.Error):
        return False
    return len(states) >= n and not {"RUNNING", "WAITING"} & set(states)


def read(sweep: Path) -> "tuple[list[FrozenTrial], dict[str, Any]]":
    """Return all trials and the attributes of the study of a sweep; see ``reason`` for the errors that this raises."""
    import optuna

    with open_regular(sweep / STUDY) as file:
        if os.fstat(file.fileno()).st_size > MAX_STUDY_BYTES:
            raise InputError(f"it has more than {MAX_STUDY_BYTES:,} bytes")
    # Read-only: Optuna would create the tables that a file lacks.
    path = quote(str((sweep / STUDY).resolve()))
    storage = optuna.storages.RDBStorage(f"sqlite:///file:{path}?mode=ro&uri=true")
    try:
        study = _load(sweep, storage)
        return study.get_trials(), study.user_attrs
    finally:
        storage.remove_session()
        storage.engine.dispose()


def read_or_explain(sweep: Path) -> "tuple[list[FrozenTrial], dict[str, Any]]":
    """Return ``read``; raise InputError that names the file where it cannot be used."""
    with _explained(sweep):
        return read(sweep)


def reason(error: Exception) -> str:
    """Return why a study cannot be used, on one line: the first cause, since SQLAlchemy adds its statement to it."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    if "readonly database" in str(error):
        return "it has no tables of Optuna, or a write to it was cut off, which the next asyncrl sweep mends"
    text = error.strerror if isinstance(error, OSError) and error.strerror else None
    text = str(error) if isinstance(error, InputError) else text or error_text(error)
    return one_line(text).rstrip(".")


@contextmanager
def _explained(sweep: Path) -> Iterator[None]:
    """Raise any error of a study as InputError that names its file and the way out."""
    try:
        yield
    except ModuleNotFoundError:
        raise
    # The file may come from anywhere, and its damage raises errors of SQLite, SQLAlchemy, Optuna and JSON.
    except Exception as error:
        raise InputError(
            f"{sweep / STUDY} cannot be used: {shorten(reason(error), 300)}. Put a copy of it back, or remove it: the "
            "search then starts again, and takes the results of finished runs with the settings that it proposes."
        ) from None


@contextmanager
def in_use(sweep: Path) -> Iterator[None]:
    """Raise an error of a study that was opened, such as a full disk, as InputError that names its file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{sweep / STUDY} cannot be used any more: {shorten(reason(error), 300)}. All runs were stopped; the same "
            "command continues the search."
        ) from None


def _load(sweep: Path, storage: "RDBStorage") -> "Study":
    """Return the study of a file: that with the sweep's name, or the only one, as of a sweep that was renamed."""
    import optuna

    names = optuna.get_all_study_names(storage)
    name = sweep.name if sweep.name in names or len(names) != 1 else names[0]
    if name not in names:
        raise InputError(f"it has no study named {escape(shorten(name))}")
    study = optuna.load_study(study_name=name, storage=storage)
    if study.directions != [optuna.study.StudyDirection.MAXIMIZE]:
        raise InputError("its study does not maximise one value, so asyncrl did not make it")
    return study
