"""Runs as they lie on a disk, without anything having run."""

from asyncrl.config import RunConfig
from asyncrl.store.rows import Writer
from asyncrl.store.runs import claim

CONFIG = RunConfig(frames=400_000, network="nips", threads=2)
STAMP = {"frames": 400_000, "steps": 100_000, "updates": 20_000, "seconds": 93.5}


def write_document(root, name, **document):
    """Write a run that has nothing but its run.json."""
    run = claim(root, "stem", name)
    with Writer(run) as writer:
        writer.update_document(**document)
    return run


def make_run(root, name, status="finished", config=CONFIG, **document):
    """Write a run with four games of two workers, two rows of metrics and three evaluations."""
    run = claim(root, "stem", name)
    provenance = {"started": "2026-11-01T10:00:00+00:00", "versions": {"python": "3.12.1", "torch": "2.13.0"}}
    provenance |= {"commit": "0123456789abcdef", "dirty": True, "cpu": "A CPU", "cores": 8, "usable_cores": 2}
    with Writer(run) as writer:
        writer.update_document(
            id=name,
            config=config.model_dump(mode="json"),
            provenance=provenance,
            protocol="atari-paper-noop",
            parameters=677_000,
            frames_per_step=4,
            status=status,
            **(STAMP | {"reason": None} | document),
        )
        for worker, score in ((0, -21.0), (1, -19.0), (0, -20.0), (1, -3.0)):
            game = {"worker": worker, "score": score, "length": 900, "epsilon": None, "completed": True}
            writer.append("episodes", STAMP | game)
        for frames in (200_000, 500_000):
            row = STAMP | {"frames": frames, "frames_per_second": 4_278.0, "learning_rate": 1e-4, "entropy": 1.5}
            writer.append("metrics", row)
        for frames, mean, kind in (
            (200_000, -20.0, "training"),
            (400_000, -10.5, "training"),
            (400_000, -11.0, "eval"),
        ):
            found = {"mean": mean, "median": mean, "std": 1.5, "scores": [mean], "episodes": 10}
            writer.append(
                "evaluations", STAMP | {"frames": frames, "kind": kind, "protocol": "atari-paper-noop"} | found
            )
    return run
