"""Step "scores" of the pipeline: final, best and mean score of each run, normalised, and time to a score."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from asyncrl.analysis import reference_data
from asyncrl.analysis.validity import Comparison

BELOW_RANDOM_RULE = "100 × score ÷ human, since human < random"  # Video Pinball with human starts
LEARNED = 0.5  # part of the way from the first evaluations to the best, from which a method counts as having learned
NORMAL_RULE = "100 × (score − random) ÷ (human − random)"
PUBLISHED_RULE = "100 × (score − random) ÷ (published − random)"  # MinAtar, where published is DQN
RUN_COLUMNS = (
    "task", "game", "protocol", "method", "label", "variant", "setup", "panel", "line", "algo", "threads", "lr",
    "optimizer", "machine",
)  # fmt: skip


def normalise(scores: pd.DataFrame) -> pd.DataFrame:
    """Add scores in % of a reference: columns ``percent``, ``reference`` and ``rule``.

    0 is random play. 100 is a human on Atari, and DQN after 5 million frames as published on MinAtar. Scores are
    compared with references of the same kind of start; without one ``percent`` is missing. If the human scored less
    than random play, as in Video Pinball with human starts, the score is divided by the human's; only this rule
    reproduces the paper's means.

    Args:
        scores: columns ``game``, ``starts`` (a kind of start, or missing) and ``score``.
    """
    tables = reference_data.references().drop(columns="title").rename(columns={"source": "reference"})
    known = scores.reset_index(drop=True).merge(tables, on=["game", "starts"], how="left", validate="many_to_one")
    random, human, published = known["random"], known["human"], known["published"]
    full = human.fillna(published)
    above = 100 * (known["score"] - random) / (full - random)
    percent = above.where(full > random, 100 * known["score"] / full)
    rules = np.select([published.notna(), human > random], [PUBLISHED_RULE, NORMAL_RULE], BELOW_RANDOM_RULE)
    rule = pd.Series(rules, known.index).where(percent.notna())
    result = known.drop(columns=["random", "human", "published"]).assign(percent=percent, rule=rule)
    return result.set_axis(scores.index)


def run_scores(comparison: Comparison) -> pd.DataFrame:
    """Return one row per evaluated run, indexed by its id.

    Columns besides its settings: ``final`` (the last evaluation), ``best`` (the highest of ``evaluations``, biased
    upwards by their number), ``area`` (mean score over the frames between the first and last evaluation, linear
    between them), ``percent`` and ``best_percent`` (normalised final and best), ``starts``, ``reference``,
    ``frames``, ``hours`` (missing if its clock is invalid), ``frames_per_second``.
    """
    rows = comparison.evaluations.groupby("run")
    table = pd.DataFrame(
        {
            "final": rows["mean"].last(),
            "best": rows["mean"].max(),
            "area": pd.Series({run: _area(group) for run, group in rows}, dtype=float),
            "evaluations": rows.size(),
        }
    )
    runs = comparison.runs.loc[table.index]
    table = pd.concat([runs[list(RUN_COLUMNS)], table], axis=1)
    table["starts"] = table["protocol"].map(reference_data.STARTS)
    for column, name in (("final", "percent"), ("best", "best_percent")):
        normal = normalise(table[["game", "starts"]].assign(score=table[column]))
        table[name] = normal["percent"]
        table["reference"], table["rule"] = normal["reference"], normal["rule"]
    table["frames"] = runs["frames"]
    table["hours"] = (runs["seconds"] / 3600).where(runs["timed"])
    table["frames_per_second"] = (runs["frames"] / runs["seconds"].where(runs["seconds"] > 0)).where(runs["timed"])
    return table


def _area(evaluations: pd.DataFrame) -> float:
    frames, means = evaluations["frames"].to_numpy(float), evaluations["mean"].to_numpy(float)
    return float(np.trapezoid(means, frames) / (frames[-1] - frames[0])) if frames[-1] > frames[0] else float(means[-1])


def time_to_score(comparison: Comparison, references: Mapping[str, float]) -> pd.DataFrame:
    """Return when each run first reached a reference score of its task, one row per run.

    Time and frames are interpolated linearly between two evaluations. If the first evaluation already reached the score
    (``at_once``), they are those of that evaluation, an upper bound. If no evaluation reached it, ``reached`` is False,
    and ``frames`` and ``hours`` are those of the last evaluation.

    Args:
        comparison: runs that may be compared.
        references: a score for each task.
    """
    found = []
    for run, rows in comparison.evaluations.groupby("run"):
        task = comparison.runs.at[run, "task"]
        if task in references:
            frames, seconds, reached = _first_reached(rows, references[task])
            at_once = reached and frames == rows["frames"].iloc[0]
            hours = seconds / 3600 if comparison.runs.at[run, "timed"] else np.nan
            found.append((run, references[task], reached, at_once, frames, hours))
    table = pd.DataFrame(found, columns=["run", "reference_score", "reached", "at_once", "frames", "hours"]).set_index(
        "run"
    )
    return comparison.runs.loc[table.index, list(RUN_COLUMNS)].join(table)


def _first_reached(rows: pd.DataFrame, reference: float) -> tuple[float, float, bool]:
    means = rows["mean"].to_numpy(float)
    stamps = rows[["frames", "seconds"]].to_numpy(float)  # [evaluations, 2]
    above = np.flatnonzero(means >= reference)
    if not len(above):
        return *stamps[-1], False
    i = int(above[0])
    if i == 0:
        return *stamps[0], True
    share = (reference - means[i - 1]) / (means[i] - means[i - 1])
    return *(stamps[i - 1] + share * (stamps[i] - stamps[i - 1])), True


def default_reference_scores(comparison: Comparison) -> dict[str, float]:
    """Return for each task a score that shows learning, by which times of methods and thread counts are compared.

    The level of a method with one thread count is the highest score that more than half of its runs reached; by exactly
    half, the median time would be infinite. The reference is the lowest level of those that learned: whose level is at
    least halfway from the start, the median of all first evaluations, to the highest level. A method that did not learn
    thus has no time, and does not lower the score for all others.
    """
    means = comparison.evaluations.groupby("run")["mean"]
    best, first = means.max(), means.first()
    runs = comparison.runs.loc[best.index]
    keys = [runs["task"], runs["variant"], runs["threads"]]
    reached = best.groupby(keys).agg(lambda scores: np.sort(scores)[::-1][len(scores) // 2])
    references = {}
    for task, levels in reached.groupby(level=0):
        start, top = first[runs["task"] == task].median(), levels.max()
        references[str(task)] = float(levels[levels >= min(top, start + LEARNED * (top - start))].min())
    return references
