import torch

from asyncrl.rollout import n_step_returns


def column(*values):
    return torch.tensor(values).unsqueeze(1)  # [T, 1]


def test_by_hand():
    reward, discount = column(1.0, 2.0, 4.0), column(0.5, 0.5, 0.5)
    returns = n_step_returns(reward, discount, torch.tensor([8.0]))
    assert returns.squeeze(1).tolist() == [4.0, 6.0, 8.0]  # 4 + ½·8, 2 + ½·8, 1 + ½·6


def test_a_terminal_cuts_the_sum():
    reward, discount = column(1.0, 2.0, 4.0), column(0.5, 0.0, 0.5)
    assert n_step_returns(reward, discount, torch.tensor([8.0])).squeeze(1).tolist() == [2.0, 2.0, 8.0]


def test_environments_do_not_mix():
    reward = torch.tensor([[1.0, 10.0], [2.0, 20.0]])
    discount = torch.tensor([[0.5, 0.0], [0.0, 0.5]])
    returns = n_step_returns(reward, discount, torch.tensor([100.0, 1000.0]))
    assert returns.tolist() == [[2.0, 10.0], [2.0, 520.0]]


def test_one_step():
    assert n_step_returns(column(1.0), column(0.9), torch.tensor([10.0])).item() == 10.0


def test_inputs_are_left_alone():
    reward, discount, bootstrap = torch.ones(3, 2), torch.full((3, 2), 0.5), torch.ones(2)
    n_step_returns(reward, discount, bootstrap)
    assert torch.equal(reward, torch.ones(3, 2))
    assert torch.equal(bootstrap, torch.ones(2))
