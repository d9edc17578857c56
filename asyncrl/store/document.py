"""The document of a run, ``run.json``: its fields, their types and defaults, and how it is read."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from asyncrl import config as configuration
from asyncrl.errors import InputError
from asyncrl.setting_types import reworded
from asyncrl.store.atomic import read_object

FORMAT = 1  # of run.json and of the row files beside it
DOCUMENT = "run.json"
PROGRESS_COLUMNS = ("frames", "steps", "updates", "seconds")  # of every row, and fields of run.json
WALL, SIMULATED = "wall", "simulated"  # clocks; wall is that of a run whose document names no other
MAX_COUNT = 2**62  # larger numbers are damage
MAX_TEXT = 1_000  # characters of a name or a setting; a longer one is damage
MAX_LONG_TEXT = 20_000  # characters of a reason or a traceback; a longer one is cut
MAX_SHOWN = 60  # characters of a wrong value in a message
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
PositiveCount = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)]
Number = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
ShortText = Annotated[str, Field(strict=True, max_length=MAX_TEXT)]
LongText = Annotated[str, Field(strict=True), AfterValidator(lambda text: shortened(text, MAX_LONG_TEXT))]


def shortened(text: str, length: int) -> str:
    """Return a text, or its beginning and an ellipsis if it has more characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


class NoDocumentError(InputError):
    """A directory has no ``run.json``, or a damaged one: it is of no run that this or another version can read."""


class Status(StrEnum):
    """The state of a run; ``crashed`` and ``damaged`` are found by readers, and never written."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"  # by a signal
    FAILED = "failed"
    CRASHED = "crashed"  # run.json has "running", but the process is gone
    DAMAGED = "damaged"  # a file of the run cannot be read


class Fields(BaseModel):
    """Keeps unknown fields, as of a newer version; null, as NaN is written, stands for the default."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _use_default_for_null(cls, table: object) -> object:
        if not isinstance(table, Mapping):
            return table
        missing = [name for name in cls.model_fields if table.get(name, 0) is None]
        return {**table, **{name: cls.model_fields[name].get_default() for name in missing}}


class Provenance(Fields):
    """The code and the machine of a run, as ``provenance.collect`` returns them; None where unknown."""

    versions: dict[str, ShortText | None] = {}
    commit: ShortText | None = None
    dirty: Flag | None = None  # whether the package differs from that commit
    platform: ShortText | None = None
    cpu: ShortText | None = None
    cores: Count | None = None
    usable_cores: Count | None = None
    compiled: Flag | None = None
    program: ShortText | None = None
    started: ShortText | None = None  # ISO 8601


class Failure(Fields):
    """The incident that ended a run: a row of failures.jsonl."""

    reason: LongText | None = None
    traceback: LongText | None = None


class RunDocument(Fields):
    """The fields of ``run.json``, in the order in which they are written."""

    format: PositiveCount = FORMAT
    id: ShortText | None = None
    config: dict[str, Any] = {}
    provenance: Provenance = Provenance()
    started: ShortText | None = None  # ISO 8601
    protocol: ShortText | None = None  # of evaluations
    spaces: LongText | None = None  # of the environment, in words
    # final ε of each environment; None for a policy method
    exploration: tuple[Annotated[Number, Field(le=1)], ...] | None = None
    parameters: Count = 0  # of the network
    frames_per_step: PositiveCount = 1
    sessions: Annotated[Count, Field(lt=2**31)] = 0  # how often the run was resumed
    clock: ShortText = WALL
    costs: dict[str, Any] = {}  # of phases, in a simulated run: microseconds
    exact_until: Count | None = None  # steps after which a simulated run does not repeat; None: it does
    own_parts: dict[str, dict[str, str]] = {}  # by setting: name, file and SHA-256 of each part of the user
    turns: Flag | None = None  # whether workers took turns on cores; None: unknown, as of earlier versions
    tags: dict[str, Any] = {}  # the sweep, cell and trial that the run belongs to
    status: Status | ShortText | None = Field(None, union_mode="left_to_right")
    reason: LongText | None = None  # of the status
    failure: Failure | None = None
    frames: Count = 0
    steps: Count = 0
    updates: Count = 0
    seconds: Annotated[Number, Field(le=MAX_COUNT)] = 0.0  # of training
    skipped: Count = 0  # updates whose gradient was not finite
    restarts: Count = 0  # of worker processes

    @field_validator("config")
    @classmethod
    def _check_config(cls, config: dict[str, Any]) -> dict[str, Any]:
        """Refuse wrong values, and convert those in another form, such as ``"10M"``; keep settings of other versions.

        A setting of another version is one that this version does not know, or a choice that it does not know.
        """
        for name, value in configuration.flatten(config).items():
            _check_size(name, value)
        known = config
        try:
            configuration.RunConfig.model_validate(config)
        except ValidationError as error:
            for each in error.errors():
                if not _is_of_another_version(each):
                    raise ValueError(_explain(each)) from None
                known = _without(known, each["loc"])
        valid = configuration.RunConfig.model_validate(known)
        return configuration.merge(config, valid.model_dump(mode="json", exclude_unset=True))


def _check_size(name: str, value: object) -> None:
    for inner in _leaves(value):
        if isinstance(inner, str) and len(inner) > MAX_TEXT:
            raise ValueError(f"{shortened(name, MAX_SHOWN)} has {len(inner):,} characters")
        # As a float it would be infinite, or an error.
        if isinstance(inner, int | float) and not abs(inner) < 1e300:
            raise ValueError(f"{shortened(name, MAX_SHOWN)} is a number that is too large")


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    if not isinstance(value, list):
        yield value
        return
    for inner in value:
        yield from _leaves(inner)


def _is_of_another_version(error: Any) -> bool:
    is_unknown_choice = error["type"] == "literal_error" and isinstance(error["input"], str)
    return error["type"] == "extra_forbidden" or is_unknown_choice


def _without(table: Mapping[str, Any], place: Sequence[Any]) -> dict[str, Any]:
    """Return a copy of a nested table without one entry."""
    name, *inner = place
    if inner and isinstance(table.get(name), Mapping):
        return {**table, name: _without(table[name], inner)}
    return {key: value for key, value in table.items() if key != name}


def _explain(error: Any) -> str:
    """Return what is wrong with a field, as part of a sentence that begins with its name."""
    place = ".".join(str(part) for part in error["loc"] if not str(part).endswith("]"))
    if error["type"] == "value_error":
        return f"{place}.{error['ctx']['error']}"
    return f"{place} {reworded(error['msg'])}; it is {shortened(repr(error['input']), MAX_SHOWN)}"


def read_document(run: Path) -> dict[str, Any]:
    """Return ``run.json`` as it is on disk; raise InputError where it is missing, damaged, or of a newer asyncrl."""
    try:
        document = read_object(run / DOCUMENT)
    except FileNotFoundError:
        raise NoDocumentError(f"{run} is not a run: it has no {DOCUMENT}.") from None
    except OSError as error:
        raise InputError(f"Cannot read {run / DOCUMENT}: {error.strerror}.") from None
    except ValueError as error:
        raise NoDocumentError(f"{run / DOCUMENT} is damaged: {error}.") from None
    version = document.get("format")
    if not isinstance(version, int):
        raise NoDocumentError(f"{run / DOCUMENT} is damaged: it has no format number.")
    if version > FORMAT:
        formats = f"format {shortened(str(version), 20)}; this one reads up to {FORMAT}"
        raise InputError(f"{run} was written by a newer asyncrl ({formats}).")
    return document


def valid_document(run: Path) -> dict[str, Any]:
    """Return the fields of ``run.json``, each of its type in ``RunDocument``; raise InputError as ``read_document``."""
    return valid_fields(read_document(run), str(run / DOCUMENT))


def valid_fields(fields: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return the fields of a document, each of its type; raise InputError that names the place of a damaged one."""
    try:
        return RunDocument.model_validate(fields).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise InputError(f"{place} is damaged: {_explain(error.errors()[0])}.") from None
