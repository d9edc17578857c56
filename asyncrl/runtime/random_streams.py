"""A worker's random numbers: streams of one seed that differ between workers, sessions and replacements."""

import numpy as np

Key = tuple[int, ...]


class RandomStreams:
    """Seeds of a worker's torch generator and of its environments' episodes."""

    def __init__(self, seed: int, key: Key) -> None:
        """Derive all seeds from a run's seed and a worker's key.

        Args:
            seed: the run's seed.
            key: (session, worker), or (session, worker, n) for a process that replaces n failed ones.
        """
        self.key = key
        self._seed = seed

    def torch_seed(self) -> int:
        """Return the seed of torch's generator, 64 bits."""
        return int(self._sequence().generate_state(1, np.uint64)[0])

    def environment_seed(self, env: int, k: int) -> int:
        """Return the seed of an environment's k-th seeded episode, 31 bits."""
        if k:
            return int(self._sequence(0, env, k).generate_state(1)[0] >> 1)
        return int(self._sequence(0).generate_state(env + 1)[env] >> 1)

    def first_environment_seeds(self, envs: int) -> list[int]:
        """Return the seeds of the first episode of each environment."""
        return [self.environment_seed(env, 0) for env in range(envs)]

    def _sequence(self, *more: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self._seed, spawn_key=(*self.key, *more))
