"""Directories of trainings written by hand."""

import json

GAMES = 100  # of which a mean score is


def write_games(folder, scores, spacing=1_000):
    """Write training games that ended every ``spacing`` frames."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = (
        {"frames": i * spacing, "steps": i * spacing // 4, "worker": 0, "score": score, "length": 9}
        for i, score in enumerate(scores, 1)
    )
    (folder / "episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def games_to_zero(count):
    """Return scores whose last 100 have the mean 0 after ``count`` games (at least 100), and never before."""
    return [-1] * (count - GAMES // 2) + [1] * GAMES


def write_rates(folder, **rates):
    """Write the rates of entries on Pong; an underscore of a name stands for a hyphen."""
    document = {"frames_per_second": {name.replace("_", "-"): own for name, own in rates.items()}}
    (folder / "rates-pong.json").write_text(json.dumps(document))
