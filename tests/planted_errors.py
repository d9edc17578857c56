"""The planted errors: what people have got wrong with these algorithms, and the tests that must notice.

The old texts are copied from the code: who changes a line that is quoted here changes the quotation too.
"""

from typing import NamedTuple


class Error(NamedTuple):
    """A mistake: in one file, each old text, found exactly once, becomes a new one."""

    name: str
    file: str  # below asyncrl/
    edits: dict[str, str]
    tests: str  # below tests/, one of which must fail; separated by spaces


GRADIENTS, RUNS = "learners/test_pseudocode.py", "runtime/test_whole_runs.py"
A3C, N_STEP, Q, SARSA = (f"learners/{name}.py" for name in ("a3c", "n_step_q", "one_step_q", "one_step_sarsa"))
LOSS, COMPILED = "learners/base.py", "learners/test_compiled.py"
STREAM, WORKER, SHARED = "rollout.py", "runtime/worker.py", "runtime/parameters.py"
EVALUATE = "runtime/evaluator.py"
NATIVE, RMSPROP, TORSO = "kernels/native.c", "kernels/test_rmsprop.py", "kernels/test_torso.py"
EXPLORATION, POLICY, ATARI = "learners/exploration.py", "networks/distributions.py", "envs/atari.py"

ERRORS = [
    # A3C
    Error("the advantage is not detached", A3C, {"advantage.detach()": "advantage"}, GRADIENTS),
    Error("the entropy's sign is wrong", A3C, {"+ self.entropy * H": "- self.entropy * H"}, GRADIENTS),
    Error("the policy gradient's sign is wrong", A3C, {"advantage**2 - gain": "advantage**2 + gain"}, GRADIENTS),
    Error("A3C's loss is a mean", A3C, {"Loss(loss.sum()": "Loss(loss.mean()"}, GRADIENTS),
    Error("the value's weight is 1", A3C, {"self.value_weight * 0.5 *": "0.5 *"}, GRADIENTS),
    Error("the value's loss lacks its ½", A3C, {"self.value_weight * 0.5 *": "self.value_weight *"}, GRADIENTS),
    Error("A3C does not bootstrap", A3C, {", V_last[0])": ", 0 * V_last[0])"}, GRADIENTS),
    Error(
        "a gradient flows through the bootstrap",
        A3C,
        {
            "torch.no_grad()": "torch.enable_grad()",
            ", V_last[0])": ", V_last[0].detach()) + (V_last[0] - V_last[0].detach())",
        },
        GRADIENTS,
    ),
    Error(
        "the bootstrapped state's entropy counts",
        A3C,
        {
            "        return Loss(loss.sum(),": (
                "        last = net(rollout.obs[-1:], carry, rollout.keep[-1:])[0].policy.entropy().sum()\n"
                "        return Loss(loss.sum() - self.entropy * last,"
            )
        },
        GRADIENTS,
    ),
    Error(
        "the bootstrap starts from the rollout's first carry",
        A3C,
        {"net(rollout.obs[-1:], carry,": "net(rollout.obs[-1:], rollout.carry,"},
        GRADIENTS,
    ),
    Error(
        "A3C acts greedily",
        A3C,
        {"policy.sample(generator)[0]": "policy[0].argmax(-1)[0]"},
        "learners/test_learners.py",
    ),
    # Q-learning and Sarsa
    Error("n-step Q's maximum is over θ′", N_STEP, {"target(rollout.obs[-1:]": "net(rollout.obs[-1:]"}, GRADIENTS),
    Error("one-step Q's maximum is over θ", Q, {"target(rollout.obs,": "net(rollout.obs,"}, GRADIENTS),
    Error("½ on the Q loss", LOSS, {"Loss((error**2).sum()": "Loss(0.5 * (error**2).sum()"}, GRADIENTS),
    Error("the Q loss is a mean", LOSS, {"(error**2).sum()": "(error**2).mean()"}, GRADIENTS),
    Error("y is not a constant", Q, {"torch.no_grad()": "torch.enable_grad()", "target(rol": "net(rol"}, GRADIENTS),
    Error(
        "Sarsa bootstraps from the best action",
        SARSA,
        {"q_next.gather(-1, a_next[..., None]).squeeze(-1)": "q_next.max(-1).values"},
        GRADIENTS,
    ),
    Error(
        "Sarsa's a′ is a",
        SARSA,
        {"torch.cat([rollout.action[1:], rollout.next_action[None]])": "rollout.action"},
        GRADIENTS,
    ),
    Error(
        "Sarsa puts a_t first",
        SARSA,
        {"[rollout.action[1:], rollout.next_action[None]]": "[rollout.next_action[None], rollout.action[1:]]"},
        GRADIENTS,
    ),
    Error("Sarsa draws another action than it valued", STREAM, {"if self.planned is None:": "if True:"}, RUNS),
    Error(
        "Sarsa looks ahead from the new episode where one was truncated",
        STREAM,
        {"torch.where(torch.from_numpy(step.truncated), reached, next_action)": "next_action"},
        GRADIENTS,
    ),
    # Returns and ends of episodes
    Error(
        "returns are off by one",
        "rollout.py",
        {"returns[i] = R = r[i] + d[i] * R": "returns[i], R = R, r[i] + d[i] * R"},
        "test_n_step_returns.py",
    ),
    Error("returns ignore the discount", "rollout.py", {"d[i] * R": "d.max() * R"}, "test_n_step_returns.py"),
    Error(
        "the discount ignores terminals",
        STREAM,
        {"np.multiply(keep[1 : end + 1], self._gamma, out=discount[:end])": "discount[:end] = self._gamma"},
        GRADIENTS,
    ),
    Error(
        "truncation is treated as terminal",
        STREAM,
        {"keep[i + 1] = step.terminated": "keep[i + 1] = step.terminated | step.truncated"},
        GRADIENTS,
    ),
    Error(
        "truncation bootstraps from the next episode's first state",
        STREAM,
        {"obs[i + 1] = step.successor": "obs[i + 1] = step.obs"},
        GRADIENTS,
    ),
    Error(
        "a truncated rollout goes on",
        STREAM,
        {"(all(flags) or bool(step.truncated.any()))": "all(flags)"},
        GRADIENTS,
    ),
    Error(
        "a rollout runs over a terminal",
        STREAM,
        {"(all(flags) or ": "("},
        "test_rollout.py::test_a_rollout_ends_where_all_episodes_do_and_at_any_truncation",
    ),
    Error("Gymnasium's last states are lost", "envs/gym.py", {"successor = obs.copy()": "successor = obs"}, "envs"),
    # Recurrence
    Error(
        "the carry is not reset at an episode's end",
        STREAM,
        {"self.carry = reset_carry(choice.carry, ended)": "self.carry = choice.carry"},
        GRADIENTS,
    ),
    Error(
        "the carry is not reset where an episode is truncated",
        STREAM,
        {"reset_carry(choice.carry, ended)": "reset_carry(choice.carry, step.terminated)"},
        GRADIENTS,
    ),
    Error(
        "the mask of resets is off by one",
        STREAM,
        {
            "keep[i + 1] = step": "keep[i] = step",
            "np.logical_not(keep[1 : end + 1], out=keep[1 : end + 1])": "np.logical_not(keep[:end], out=keep[:end])",
            "np.multiply(keep[1 : end + 1]": "np.multiply(keep[:end]",
        },
        "test_rollout.py",
    ),
    Error(
        "a critic's memory misses what was acted on",
        "networks/heads.py",
        {"self.critic(obs, carry[half:], None)[1] if half else ()": "carry[half:]"},
        "networks",
    ),
    Error("the learner never resets the carry", A3C, {", rollout.keep[:-1])": ")"}, GRADIENTS),
    Error(
        "the look ahead advances the carry",
        STREAM,
        {
            "self.planned = act(self.current, self.carry)": (
                "self.planned = act(self.current, self.carry)\n            self.carry = self.planned.carry"
            )
        },
        GRADIENTS,
    ),
    Error(
        "a rollout is handed the carry after it",
        STREAM,
        {"next_action, carry)": "next_action, self.carry)"},
        GRADIENTS,
    ),
    # Policies and networks
    Error(
        "log of a softmax",
        "networks/heads.py",
        {"F.log_softmax(self.logits(features), -1)": "F.softmax(self.logits(features), -1).log()"},
        "networks/test_distributions.py",
    ),
    Error(
        "the Gaussian is sampled with its variance for a deviation",
        POLICY,
        {"self.variance.sqrt() * noise": "self.variance * noise"},
        "networks/test_distributions.py",
    ),
    Error(
        "the Gaussian's density takes its variance for a deviation",
        POLICY,
        {"** 2 / self.variance +": "** 2 / self.variance**2 +"},
        "networks/test_distributions.py",
    ),
    Error("frames are not scaled", "networks/torsos.py", {"numbers.div_(255) if": "numbers if"}, TORSO),
    # Optimisers and the shared path
    Error(
        "ε stands outside the root",
        "optim.py",
        {"(g + self.eps).sqrt_()": "g.sqrt().add_(self.eps)"},
        "test_optim.py",
    ),
    Error(
        "entries are clipped, not the norm", "optim.py", {"grad.mul_(limit / norm)": "grad.clamp_(-limit, limit)"}, RUNS
    ),
    Error("the gradient is clipped after the update", WORKER, {"clip_(self.grad, ": "clip_(self.grad.clone(), "}, RUNS),
    Error(
        "no worker shares its g",
        "training/methods.py",
        {'settings.name == "shared-rmsprop"': "False"},
        "training/test_job_builder.py",
    ),
    Error(
        "each worker has its own g",
        SHARED,
        {
            "states = 1 if optimizer.shared else workers": "states = workers",
            "[0 if is_shared else worker]": "[worker]",
        },
        RUNS,
    ),
    Error("all workers share one g where each has its own", SHARED, {"[0 if is_shared else worker]": "[0]"}, RUNS),
    Error("gradients add up over updates", WORKER, {"self.grad.zero_()": "pass"}, RUNS),
    Error(
        "autograd fills another vector than the one that is applied",
        "networks/flat.py",
        {'setattr(parameter, "grad", view)': 'setattr(parameter, "grad", view.clone())'},
        RUNS,
    ),
    Error(
        "θ′ is not refreshed",
        WORKER,
        {"if self.snapshot is not None:": "if self.snapshot is not None and not parameters.updates:"},
        RUNS,
    ),
    Error(
        "T mod I = 0",
        "schedules.py",
        {"after // period > before // period": "after % period == 0"},
        "test_schedules.py",
    ),
    Error(
        "θ⁻ is copied from a worker's θ′",
        WORKER,
        {
            "parameters.sync_target(": (
                "self.snapshot and parameters._theta.copy_(self.snapshot._theta); parameters.sync_target("
            )
        },
        RUNS,
    ),
    Error(
        "rollouts count as one step",
        SHARED,
        {"self._counts[worker, STEPS] += steps": "self._counts[worker, STEPS] += 1"},
        RUNS,
    ),
    Error(
        "two workers that count at once both miss a multiple",
        SHARED,
        {"return before, self.T": "return before, before + steps"},
        "runtime/test_parameters.py::test_of_two_that_count_at_once_one_sees_the_multiple_that_they_cross",
    ),
    # Schedules and exploration
    Error(
        "the learning rate follows a worker's own steps",
        WORKER,
        {"self.grad, before)": "self.grad, parameters.steps(self.worker))"},
        RUNS,
    ),
    Error(
        "ε follows a worker's own steps",
        WORKER,
        {"parameters.updates, parameters.T": "parameters.updates, parameters.steps(self.worker)"},
        RUNS,
    ),
    Error("the learning rate stays", "optim.py", {"if self.anneal_steps is None": "if self.anneal_steps"}, RUNS),
    Error(
        "ε is not annealed",
        EXPLORATION,
        {"linear(1.0, each, T, anneal_steps)": "each"},
        "learners/test_exploration.py",
    ),
    Error(
        "final ε are drawn one by one",
        EXPLORATION,
        {"(rng.random() + np.arange(count)) / count": "rng.random(count)"},
        "learners/test_exploration.py",
    ),
    Error(
        "workers always get the same final ε",
        EXPLORATION,
        {"rng.permutation(chosen)": "chosen"},
        "learners/test_exploration.py",
    ),
    Error(
        "frames are taken for steps",
        "training/job_builder.py",
        {"frames // spec.frames_per_step": "frames"},
        "training/test_job_builder.py",
    ),
    Error(
        "γ is that of a frame on Atari",
        "training/job_builder.py",
        {"gamma=config.gamma": "gamma=config.gamma ** (1 / spec.frames_per_step)"},
        "training/test_job_builder.py",
    ),
    Error(
        "γ is always the default",
        "training/job_builder.py",
        {"gamma=config.gamma": "gamma=0.99"},
        "training/test_job_builder.py",
    ),
    Error(
        "a gradient whose norm is beyond float32 is skipped",
        "optim.py",
        {"norm = float(exact.norm())": "norm = math.inf"},
        "test_optim.py",
    ),
    Error(
        "every worker has the same seed",
        "runtime/hosted_worker.py",
        {"else (job.session, worker)": "else (job.session, 0)"},
        "runtime/test_worker.py::test_workers_sessions_and_seeds_draw_different_actions_and_the_same_ones_the_same",
    ),
    Error(
        "every session has the same seed",
        "runtime/hosted_worker.py",
        {"else (job.session, worker)": "else (0, worker)"},
        "runtime/test_worker.py::test_workers_sessions_and_seeds_draw_different_actions_and_the_same_ones_the_same",
    ),
    Error(
        "a gradient that is no number is applied",
        WORKER,
        {"is_finite = math.isfinite(norm)": "is_finite = True"},
        "runtime/test_worker.py::test_a_gradient_that_is_not_finite_is_skipped_and_counted",
    ),
    Error(
        "T does not count every environment",
        WORKER,
        {"rollout.reward.numel()": "len(rollout.reward)"},
        "runtime/test_worker.py::test_what_the_parent_is_told_adds_up",
    ),
    # Evaluation
    Error(
        "an evaluation counts the games that end first",
        EVALUATE,
        {"if not any(counted):": "if len(episodes) >= spec.episodes:", "= started < spec.episodes": "= True"},
        "runtime/test_evaluator.py::test_every_game_that_was_started_counts_and_no_other",
    ),
    Error(
        "evaluations are played as in training",
        "training/job_builder.py",
        {"cores(), False, spec": "cores(), True, spec"},
        "training/test_job_builder.py",
    ),
    # The compiled part
    Error("the compiled entropy's sign is wrong", NATIVE, {"+ beta * pi *": "- beta * pi *"}, COMPILED),
    Error(
        "the compiled policy gradient's sign is wrong",
        NATIVE,
        {"(pi - (k ==": "((k ==", "at]))": "at]) - pi)"},
        COMPILED,
    ),
    Error("the compiled value's weight is 1", NATIVE, {"= -value_weight * advantage": "= -advantage"}, COMPILED),
    Error("A3C does not bootstrap on compiled networks", NATIVE, {"R = outputs[": "R = 0 * outputs["}, COMPILED),
    Error("the compiled policy is greedy", NATIVE, {"/ race[(size_t)i * n + k]": ""}, COMPILED),
    Error("½ on the compiled Q loss", NATIVE, {"= -2 * error": "= -error"}, COMPILED),
    Error(
        "the compiled rectifier passes all gradients",
        NATIVE,
        {"<= 0 ? 0 : net->grad": "<= -1 ? 0 : net->grad"},
        COMPILED,
    ),
    Error("a compiled gradient replaces others", NATIVE, {"y[i] += a * x[i]": "y[i] = a * x[i]"}, COMPILED),
    Error("ε is outside the compiled root", NATIVE, {"sqrtf(g[i] + eps)": "(sqrtf(g[i]) + eps)"}, RMSPROP),
    Error(
        "the compiled g forgets to square",
        NATIVE,
        {"one_minus_alpha * grad[i] * grad[i]": "one_minus_alpha * grad[i]"},
        RMSPROP,
    ),
    # Atari
    Error("a lost life restarts the game", ATARI, {"episodic_life=False": "episodic_life=True"}, "envs/test_atari.py"),
    Error(
        "a lost life is not terminal",
        ATARI,
        {"self._lives_count = training and": "self._lives_count = False and"},
        "envs/test_atari.py",
    ),
    Error("a new game begins with a lost life", ATARI, {"(died & ~ended)": "died"}, "envs/test_atari.py"),
    Error("rewards are not clipped", ATARI, {"self._clip = training": "self._clip = False"}, "envs/test_atari.py"),
    Error("scores are clipped", ATARI, {"self._score += raw": "self._score += raw.clip(-1, 1)"}, "envs/test_atari.py"),
    Error("there are no no-ops", ATARI, {"noop_max=atari.noops + 1": "noop_max=1"}, "envs/test_atari.py"),
    Error("actions stick", ATARI, {'if atari.protocol == "sticky" else 0.0': "if True else 0.0"}, "envs/test_atari.py"),
    Error(
        "the cap on frames is terminal",
        ATARI,
        {"terminated = over | (died": "terminated = ended | (died"},
        "envs/test_atari.py",
    ),
]
