"""The stream: nothing is lost, repeated or carried over where one rollout ends and the next begins."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from gymnasium.wrappers import TimeLimit

from asyncrl.envs.gym import GymEnvironments
from asyncrl.rollout import Act, Stream, reset_carry
from tests.learners.script import finish
from tests.runtime.toys import counting
from tests.toys import Target

GAMMA = 0.9


class Watched(GymEnvironments):
    """Keeps the actions that are executed."""

    def reset(self, seeds):
        """Begin a list."""
        self.taken = []
        return super().reset(seeds)

    def step(self, action):
        """Note the actions."""
        self.taken.append(action.tolist())
        return super().step(action)


class Counter:
    """An actor whose carry counts the observations of an episode; its actions are all different."""

    def __init__(self):
        self.asked = []  # (observation, carry) of each call

    def __call__(self, obs, carry):
        """Count one more."""
        (count,) = carry
        self.asked.append((obs[:, 0].tolist(), count[:, 0].tolist()))
        batch = len(obs)
        actions = torch.arange(batch) + batch * (len(self.asked) - 1)
        return Act(actions, (count + 1,), torch.linspace(0.1, 0.3, batch))


def start(*envs, t_max=5, looks_ahead=False):
    environments = Watched("toys", envs)
    fresh = (torch.zeros(len(envs), 1),)
    return environments, Stream(environments, range(len(envs)), t_max, GAMMA, fresh, looks_ahead)


def collected(stream, act):
    """Drive a stream through one rollout, as a worker does: without gradients."""
    return finish(stream.collect(torch.no_grad()(act)))


def truncated(limit):
    return TimeLimit(counting(1_000), limit)


def collect(stream, act, rollouts):
    """Return copies of some rollouts, and all games."""
    kept, games = [], []
    for _ in range(rollouts):
        rollout, ended = collected(stream, act)
        buffers = ("obs", "action", "reward", "discount", "keep")
        kept.append(rollout._replace(**{name: getattr(rollout, name).clone() for name in buffers}))
        games += ended
    return kept, games


ENDINGS = pytest.mark.parametrize(
    "envs",
    [
        (counting(7),),
        (truncated(7),),
        (counting(3), counting(5), counting(7)),
        (counting(4), truncated(9), counting(1)),
    ],
    ids=["terminal", "truncated", "terminals", "both"],
)


@ENDINGS
@pytest.mark.parametrize("looks_ahead", [False, True])
def test_each_action_is_chosen_on_a_carry_that_counts_the_steps_of_the_episode(envs, looks_ahead):
    environments, stream = start(*envs, looks_ahead=looks_ahead)
    act = Counter()
    collect(stream, act, 30)
    counts = set()
    for actions in environments.taken:
        for env, action in enumerate(actions):
            obs, count = act.asked[action // len(envs)]
            assert obs[env] == count[env]
            counts.add(count[env])
    assert {0.0, 1.0, 2.0} <= counts


@ENDINGS
@pytest.mark.parametrize("looks_ahead", [False, True])
def test_the_rollouts_carry_is_the_state_before_its_first_observation(envs, looks_ahead):
    _, stream = start(*envs, looks_ahead=looks_ahead)
    act = Counter()
    for _ in range(30):
        rollout, _ = collected(stream, act)
        assert torch.equal(rollout.carry[0], rollout.obs[0])


@ENDINGS
def test_a_rollout_begins_where_the_last_one_ended_unless_the_episode_did(envs):
    rollouts, _ = collect(start(*envs)[1], Counter(), 30)
    for one, other in pairwise(rollouts):
        for i, env in enumerate(envs):
            cut = isinstance(env, TimeLimit) and one.obs[-1, i] == env._max_episode_steps
            assert other.obs[0, i] == (0 if cut else one.obs[-1, i])


@ENDINGS
def test_every_step_that_is_taken_is_in_exactly_one_rollout(envs):
    environments, stream = start(*envs)
    rollouts, _ = collect(stream, Counter(), 30)
    assert torch.cat([rollout.action for rollout in rollouts]).tolist() == environments.taken
    assert all(len(part) == len(rollout.obs) - 1 for rollout in rollouts for part in rollout[1:4])


@pytest.mark.parametrize(
    ("envs", "lengths"),
    [
        ((counting(7),), [5, 2, 5, 2]),
        ((truncated(7),), [5, 2, 5, 2]),
        ((counting(2), counting(3)), [5, 1, 5, 1]),  # 2 and 3 end together after 6 steps
        ((counting(2), truncated(7)), [5, 2, 5, 2]),
    ],
)
def test_a_rollout_ends_where_all_episodes_do_and_at_any_truncation(envs, lengths):
    rollouts, _ = collect(start(*envs)[1], Counter(), 4)
    assert [len(rollout.action) for rollout in rollouts] == lengths


def test_the_discount_is_zero_at_a_terminal_state_alone():
    rollouts, _ = collect(start(counting(3), truncated(4))[1], Counter(), 2)
    assert torch.equal(rollouts[0].discount, GAMMA * torch.tensor([[1.0, 1], [1, 1], [0, 1], [1, 1]]))
    assert torch.equal(rollouts[0].keep, torch.tensor([[1, 1], [1, 1], [1, 1], [0, 1], [1, 1]]).bool())
    assert rollouts[0].obs[:, :, 0].tolist() == [[0, 0], [1, 1], [2, 2], [0, 3], [1, 4]]  # 4: reached, then cut


def test_games_come_with_the_epsilon_of_their_own_environment():
    _, games = collect(start(counting(3), truncated(4))[1], Counter(), 1)
    assert [(game.env, game.length, game.completed, epsilon) for game, epsilon in games] == [
        (0, 3, True, pytest.approx(0.1)),
        (1, 4, False, pytest.approx(0.3)),
    ]


@ENDINGS
def test_sarsa_executes_the_action_it_bootstrapped_from(envs):
    """Every call gives new actions, as if the weights had changed: asking again would not give the same."""
    environments, stream = start(*envs, looks_ahead=True)
    rollouts, _ = collect(stream, Counter(), 30)
    done = 0
    for i, rollout in enumerate(rollouts[:-1]):
        done += len(rollout.action)
        cut = rollout.obs[-1] != rollouts[i + 1].obs[0]  # truncated: there is no such step
        for env in (~cut[:, 0]).nonzero().flatten().tolist():
            assert rollout.next_action[env] == environments.taken[done][env] == rollouts[i + 1].action[0, env]


def test_at_a_truncation_sarsa_bootstraps_from_an_action_of_the_state_that_was_reached():
    _, stream = start(truncated(3), counting(9), looks_ahead=True)
    seen = {}

    def act(obs, carry):
        """Go to where obs says: 10 × the step of the episode, and which call it was."""
        seen[len(seen)] = obs[:, 0].tolist(), carry[0][:, 0].tolist()
        return Act(10 * obs[:, 0].long(), (carry[0] + 1,))

    rollout, _ = collected(stream, act)
    assert rollout.obs[:, :, 0].tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert rollout.next_action.tolist() == [30, 30]
    assert all(obs == count for obs, count in seen.values())
    assert collected(stream, act)[0].action[0].tolist() == [0, 30]  # a new episode, and what was promised


def test_without_looking_ahead_there_is_no_next_action_and_nobody_is_asked_for_one():
    act = Counter()
    rollouts, _ = collect(start(counting(7))[1], act, 4)
    assert all(rollout.next_action is None for rollout in rollouts)
    assert len(act.asked) == sum(len(rollout.action) for rollout in rollouts)


def test_continuous_actions_are_kept_as_they_were_drawn():
    environments = Watched("toys", [Target(), Target()])
    stream = Stream(environments, [0, 1], 4, GAMMA, (), False)
    rollout, _ = collected(stream, lambda obs, carry: Act(torch.full((2, 1), 3.0), carry))
    assert rollout.action.shape == (4, 2, 1)
    assert rollout.action.eq(3).all()


def test_no_gradient_is_recorded_while_collecting():
    weight = torch.ones(1, requires_grad=True)

    def act(obs, carry):
        assert not (obs * weight).requires_grad
        return Act(torch.zeros(1).long(), carry)

    collected(start(counting(7))[1], act)


def test_a_carry_that_is_not_a_number_is_forgotten_too():
    carry = (torch.full((2, 3), math.nan),)
    (forgotten,) = reset_carry(carry, np.array([True, False]))
    assert forgotten[0].tolist() == [0, 0, 0]
    assert forgotten[1].isnan().all()
