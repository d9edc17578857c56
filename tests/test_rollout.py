import torch

from asyncrl.rollout import Rollout


def keep(discount):
    discount = torch.tensor(discount)  # [T, B]
    T, B = discount.shape
    obs, action = torch.zeros(T + 1, B, 1), torch.zeros(T, B, dtype=torch.int64)
    return Rollout(obs, action, torch.zeros(T, B), discount, None, ()).keep.tolist()


def test_a_state_is_kept_unless_the_step_before_it_was_terminal():
    assert keep([[0.9, 0.0], [0.0, 0.9]]) == [[1, 1], [1, 0], [0, 1]]
