"""An executor that trains nothing: it writes what a run would leave, at once."""

import json
import math
from collections import Counter
from pathlib import Path

from asyncrl.errors import Exit
from asyncrl.sweeping.plan import Resolver

RESOLVER = Resolver()


def best_at_1e_3(table):
    """The score of a run: the closer its learning rate is to 1e-3, the better."""
    return 100 - 20 * abs(math.log10(table.get("optimizer", {}).get("lr", 1e-3)) + 3) + table["seed"] / 100


def write_run(root: Path, name: str, table, score, status="finished", frames=None):
    run = root / name
    run.mkdir(exist_ok=True)
    config = RESOLVER.cell({k: v for k, v in flat(table).items() if k != "seed"}, {}, table["seed"]).config
    frames = config.frames if frames is None else frames
    document = {"format": 1, "id": name, "config": config.model_dump(mode="json"), "status": status}
    document |= {"frames": frames, "steps": frames, "seconds": frames / 1000, "frames_per_step": 1}
    (run / "run.json").write_text(json.dumps(document))
    rows = [
        {"frames": f, "steps": f, "updates": 1, "seconds": 1.0, "kind": "training", "mean": score * i / 2}
        for i, f in ((1, frames // 2), (2, frames))
    ]
    (run / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def flat(table, prefix=""):
    found = {}
    for key, value in table.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


class FakeExecutor:
    """Has one slot; each task ends at the next poll."""

    def __init__(self, score=best_at_1e_3, failing=(), die_after=None):
        self.started = []
        self.cancelled = []
        self._score, self._failing, self._die_after = score, failing, die_after
        self._attempts = Counter()
        self._ends = []

    def has_room(self, cores):
        return not self._ends

    def submit(self, task):
        if self._die_after is not None and len(self.started) == self._die_after:
            raise KilledError
        self.started.append(task.name)
        self._attempts[task.name] += 1
        fails = any(text in task.name for text in self._failing)
        status = "failed" if fails else "finished"
        write_run(task.root, task.name, task.table, self._score(task.table), status)
        self._ends.append((task.name, int(Exit.WORKER_FAILED) if fails else 0))

    def poll(self):
        ends, self._ends = self._ends, []
        return ends

    def cancel(self, name, now=False):
        self.cancelled.append(name)

    def close(self):
        pass


class KilledError(Exception):
    """The driver is killed at this moment."""
