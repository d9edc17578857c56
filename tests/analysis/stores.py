"""Stores of runs with known answers: written by a formula, not by training."""

import json
from zlib import crc32

from asyncrl.config import Atari, Evaluation, Optimizer, RunConfig

EVALUATIONS = 10
FRAMES = 1_000_000


def config(env="pong", algo="a3c", threads=2, seed=1, lr=7e-4, frames=FRAMES, **more):
    return RunConfig(
        env=env,
        algo=algo,
        threads=threads,
        seed=seed,
        frames=frames,
        network="nips",
        optimizer=Optimizer(lr=lr, name=more.pop("optimizer", "shared-rmsprop")),
        evaluation=Evaluation(episodes=5),
        atari=Atari(**more.pop("atari", {})),
        **more,
    )


def straight(low, high, points=EVALUATIONS):
    """Return scores that rise on a straight line, the last of them ``high``."""
    return [low + (high - low) * i / points for i in range(1, points + 1)]


def write(root, name, scores=(), *, fps=1000.0, status="finished", cores=2, protocol="atari-paper-noop", **settings):
    """Write one run that gives these evaluations at equal steps, at a constant number of frames per second."""
    made = config(**settings)
    run = root / name
    run.mkdir(parents=True)
    skip = 4 if protocol.startswith("atari") else 1
    every = made.frames // max(len(scores), 1)
    stamps = [stamp(every * i, skip, fps) for i in range(1, len(scores) + 1)]
    last = stamps[-1] if stamps else stamp(0, skip, fps)
    provenance = {"cpu": "A CPU", "cores": 8, "usable_cores": cores, "started": "2026-11-01T10:00:00+00:00"}
    provenance |= {"commit": "0123456789abcdef", "dirty": False, "versions": {"python": "3.12.1", "torch": "2.13.0"}}
    document = {"format": 1, "id": name, "config": made.model_dump(mode="json"), "provenance": provenance}
    document |= {"started": provenance["started"], "protocol": protocol, "frames_per_step": skip, "status": status}
    (run / "run.json").write_text(json.dumps(document | last | {"reason": None}))
    found = {"kind": "training", "protocol": protocol, "episodes": 5, "std": 0.0}
    own = 1e-9 * crc32(name.encode()) / 2**32  # no two real runs are at an evaluation in equal time
    rows = [s | found | {"mean": m, "median": m} for s, m in zip(stamps, scores, strict=True)]
    lines(run, "evaluations", [row | {"seconds": row["seconds"] * (1 + own)} for row in rows])
    health = {"frames_per_second": fps, "learning_rate": 1e-4, "skipped": 0, "entropy": 1.5, "policy_lag": 0.5}
    lines(run, "metrics", [s | health | {"grad_norm": 2.0} for s in stamps])
    game = {"worker": 0, "score": 1.0, "length": 100, "epsilon": None, "completed": True}
    lines(run, "episodes", [s | game for s in stamps])
    return run


def stamp(frames, skip=4, fps=1000.0):
    return {"frames": frames, "steps": frames // skip, "updates": frames // skip // 5, "seconds": frames / fps}


def lines(run, name, rows, mode="w"):
    with (run / f"{name}.jsonl").open(mode) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
