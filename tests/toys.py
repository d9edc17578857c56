"""Small environments whose answers are known, for every floor's tests: ``tests.toys:Corridor`` and so on."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray

Vector = NDArray[np.float32]


class Toy(gymnasium.Env[Any, Any]):
    """Counts its steps; a subclass says what is seen and what a step does."""

    observation_space: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space: spaces.Space[Any] = spaces.Discrete(2)
    t = 0  # steps taken in this episode

    def see(self) -> Any:
        """Return the observation of now."""
        return np.ones(1, np.float32)

    def act(self, action: Any) -> tuple[float, bool]:
        """Return the reward of an action, and whether the episode is over."""
        raise NotImplementedError

    def begin(self) -> None:
        """Draw what an episode draws."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        self.t = 0
        self.begin()
        return self.see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act, then see."""
        self.t += 1
        reward, over = self.act(action)
        return self.see(), reward, over, False, {}


class Corridor(Toy):
    """Five places in a row: going right (1) four times is worth 1 - 3 * 0.1, and every detour 0.1 less."""

    observation_space = spaces.Discrete(5)
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 5}
    OPTIMUM = 0.7
    LIMIT = 50  # steps, then over

    def __init__(self, render_mode: str | None = None) -> None:
        """Take the mode in which it renders."""
        self.render_mode = render_mode

    def begin(self) -> None:
        """Stand at the left end."""
        self.place = 0

    def see(self) -> int:
        """See the place."""
        return self.place

    def act(self, action: int) -> tuple[float, bool]:
        """Go left or right."""
        self.place = max(0, self.place + (1 if action == 1 else -1))
        arrived = self.place == 4
        return (1.0 if arrived else -0.1), arrived or self.t >= self.LIMIT

    def render(self) -> NDArray[np.uint8]:
        """Paint the place red."""
        picture = np.zeros((16, 80, 3), np.uint8)
        picture[:, 16 * self.place : 16 * (self.place + 1), 0] = 255
        return picture


class Forever(Toy):
    """Reward 1 for ever, whatever is done."""

    def act(self, action: int) -> tuple[float, bool]:
        """Gain 1."""
        return 1.0, False


def endless() -> gymnasium.Env[Any, Any]:
    """Return Forever, cut after 20 steps: V is 1 / (1 − γ) if truncation is bootstrapped, and less if not."""
    return TimeLimit(Forever(), 20)


class Counting(Toy):
    """Seven steps an episode; what is seen is the number of the step, for tests of what is carried over."""

    observation_space = spaces.Box(0.0, 7.0, (1,), np.float32)
    LENGTH = 7

    def see(self) -> Vector:
        """See the step's number: 0 … 7."""
        return np.array([self.t], np.float32)

    def act(self, action: int) -> tuple[float, bool]:
        """Gain 1."""
        return 1.0, self.t >= self.LENGTH


class Cue(Toy):
    """The first sight tells which action the last step wants: +1 or −1, so 1 with a memory and 0 without."""

    observation_space = spaces.Box(0.0, 1.0, (3,), np.float32)
    DELAY = 3  # blank steps
    OPTIMUM = 1.0

    def begin(self) -> None:
        """Draw the cue."""
        self.cue = int(self.np_random.integers(2))

    def see(self) -> Vector:
        """See the cue in place 0 or 1, then nothing, then the question in place 2."""
        sight = np.zeros(3, np.float32)
        if self.t == 0:
            sight[self.cue] = 1
        elif self.t == self.DELAY:
            sight[2] = 1
        return sight

    def act(self, action: int) -> tuple[float, bool]:
        """Answer, where it is asked."""
        if self.t <= self.DELAY:
            return 0.0, False
        return (1.0 if action == self.cue else -1.0), True


class Target(Toy):
    """A number is shown, and half of it, negated, wanted: reward −(a − target)², ten times. At best 0."""

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    LENGTH = 10

    def begin(self) -> None:
        """Draw the number."""
        self.shown = float(self.np_random.uniform(-1, 1))

    def see(self) -> Vector:
        """See the number."""
        return np.array([self.shown], np.float32)

    def act(self, action: Vector) -> tuple[float, bool]:
        """Lose the squared distance, and draw another."""
        reward = -((float(action[0]) + 0.5 * self.shown) ** 2)
        self.begin()
        return reward, self.t >= self.LENGTH


class Crashing(Corridor):
    """Raises in its tenth step, over all episodes."""

    steps = 0

    def act(self, action: int) -> tuple[float, bool]:
        """Go, or crash."""
        self.steps += 1
        if self.steps == 10:
            raise RuntimeError("the floor gave way")
        return super().act(action)


class NotANumber(Corridor):
    """Every tenth reward, over all episodes, is NaN."""

    steps = 0

    def act(self, action: int) -> tuple[float, bool]:
        """Go."""
        self.steps += 1
        reward, over = super().act(action)
        return (float("nan") if self.steps % 10 == 0 else reward), over


class Unsupported(Corridor):
    """Sees a Dict."""

    observation_space = spaces.Dict({"place": spaces.Discrete(5)})
