"""Points of a scrambled Sobol sequence in ranges of settings. Alone in its module, since it needs torch."""

from collections.abc import Mapping

from torch.quasirandom import SobolEngine

from asyncrl.sweeping.space import Range


def sobol_points(ranges: Mapping[str, Range], seed: int, count: int) -> list[dict[str, float]]:
    """Return the first ``count`` points of a scrambled Sobol sequence; it covers the ranges more evenly than chance."""
    # Without scrambling the first point would be the low corner.
    engine = SobolEngine(len(ranges), scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    drawn = engine.draw(count).tolist()
    return [{name: ranges[name].at(u) for name, u in zip(ranges, point, strict=True)} for point in drawn]
