"""The document of a run, ``run.json``: its fields, their types and defaults, and how it is read."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from asyncrl.errors import InputError
from asyncrl.store.atomic import read_object

FORMAT = 1  # of run.json and of the row files beside it
DOCUMENT = "run.json"
PROGRESS_COLUMNS = ("frames", "steps", "updates", "seconds")  # of every row, and fields of run.json


class Status(StrEnum):
    """The state of a run; ``crashed`` and ``damaged`` are found by readers, and never written."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"  # by a signal
    FAILED = "failed"
    CRASHED = "crashed"  # run.json has "running", but the process is gone
    DAMAGED = "damaged"  # run.json cannot be read


class Lenient(BaseModel):
    """Keeps unknown fields, as of a newer version, and takes the default for a value of the wrong type."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @field_validator("*", mode="wrap")
    @classmethod
    def _use_default_if_invalid(
        cls, value: object, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> object:
        try:
            return validate(value)
        except ValidationError:
            return cls.model_fields[info.field_name or ""].get_default(call_default_factory=True)


class Provenance(Lenient):
    """The code and the machine of a run, as ``provenance.collect`` returns them; None where unknown."""

    versions: dict[str, str | None] = {}
    commit: str | None = None
    dirty: bool | None = None  # whether the package differs from that commit
    platform: str | None = None
    cpu: str | None = None
    cores: int | None = None
    usable_cores: int | None = None
    compiled: bool | None = None
    program: str | None = None
    started: str | None = None  # ISO 8601


class RunDocument(Lenient):
    """The fields of ``run.json``, in the order in which they are written."""

    format: int = FORMAT
    id: str | None = None
    config: dict[str, Any] = {}
    provenance: Provenance = Provenance()
    started: str | None = None  # ISO 8601
    protocol: str | None = None  # of evaluations
    spaces: str | None = None  # of the environment, in words
    exploration: tuple[float, ...] | None = None  # final ε of each environment; None for a policy method
    parameters: int = 0  # of the network
    frames_per_step: int = 1
    sessions: int = 0  # how often the run was resumed
    tags: dict[str, Any] = {}  # the sweep, cell and trial that the run belongs to
    status: Annotated[Status | str | None, Field(union_mode="left_to_right")] = None
    reason: str | None = None  # of the status
    failure: dict[str, Any] | None = None
    frames: int = 0
    steps: int = 0
    updates: int = 0
    seconds: float = 0.0  # of training
    skipped: int = 0  # updates whose gradient was not finite
    restarts: int = 0  # of worker processes


def read_document(run: Path) -> dict[str, Any]:
    """Return ``run.json`` as it is on disk; raise InputError where it is missing, damaged, or of a newer asyncrl."""
    try:
        document = read_object(run / DOCUMENT)
    except FileNotFoundError:
        raise InputError(f"{run} is not a run: it has no {DOCUMENT}.") from None
    except OSError as error:
        raise InputError(f"Cannot read {run / DOCUMENT}: {error.strerror}.") from None
    except ValueError as error:
        raise InputError(f"{run / DOCUMENT} is damaged: {error}.") from None
    version = document.get("format")
    if not isinstance(version, int):
        raise InputError(f"{run / DOCUMENT} is damaged: it has no format number.")
    if version > FORMAT:
        raise InputError(f"{run} was written by a newer asyncrl (format {version}; this one reads up to {FORMAT}).")
    return document
