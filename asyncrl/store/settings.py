"""The settings of a stored run, for the commands that continue it or play with it."""

from pathlib import Path

from asyncrl import config as configuration
from asyncrl.config import RunConfig
from asyncrl.errors import InputError
from asyncrl.store.document import DOCUMENT, RunDocument
from asyncrl.store.runs import open_document


def config_of(run: Path) -> RunConfig:
    """Return the configuration of a run; raise InputError if the run is damaged, or another version wrote it."""
    config = open_document(run).get("config")
    if not config:
        raise InputError(f"{run / DOCUMENT} is damaged: it has no config.")
    try:
        return configuration.build(config)
    except InputError as error:
        raise InputError(f"The configuration in {run / DOCUMENT} cannot be read: {error}") from None


def final_exploration(run: Path, environments: int) -> tuple[float, ...]:
    """Return the final ε of each environment; raise InputError if run.json has another number of them."""
    final = RunDocument.model_validate(open_document(run)).exploration or (0.0,) * environments
    if len(final) != environments:
        counts = f"{len(final)} values for {environments} environments"
        raise InputError(f"{run / DOCUMENT} is damaged: exploration has {counts}.")
    return final
