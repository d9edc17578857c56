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
STREAM, WORKER, SHARED = (f"runtime/{name}.py" for name in ("stream", "worker", "shared"))
EVALUATE = "runtime/evaluate.py"
HANGING_EXAMINER = "runtime/test_evaluate.py::test_a_process_that_hangs_is_replaced_and_one_that_is_slow_is_not"
HOGWILD, CREW = "runtime/hogwild.py", "runtime/test_hogwild.py::test_"
OFTEN = CREW + "a_worker_that_fails_too_often_is_not_replaced_again_and_says_what_it_played"
DRAWN, DRAWING, PRESS = "analysis/test_press.py", "faults/test_press.py", "analysis/press.py"
EXPERIMENT, BIRTH = "experiment.py", "birth.py"
ROWS, ROWS_TESTS = "store/rows.py", "store/test_rows.py"
MISSED = CREW + "one_that_missed_the_end_of_a_pause_takes_part_in_the_next"
TAPE, TAPES = "runtime/tape.py", "runtime/test_tape.py"
GOES_ON = TAPES + "::test_a_worker_goes_on_bit_for_bit"
TURNS, TURN_TESTS = "runtime/turns.py", "runtime/test_turns.py"
NATIVE, COMPILED = "native.c", "test_native.py"
TORSO = "networks/torso.py"
KEEPER, FULL = "store/keeper.py", "store/test_keeper.py"
EXPLORATION, POLICY, ATARI = "learners/exploration.py", "networks/policy.py", "envs/atari.py"

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
    Error("A3C acts greedily", A3C, {"policy.sample()[0]": "policy[0].argmax(-1)[0]"}, "learners/test_learners.py"),
    # Q-learning and Sarsa
    Error("n-step Q's maximum is over θ′", N_STEP, {"target(rollout.obs[-1:]": "net(rollout.obs[-1:]"}, GRADIENTS),
    Error("one-step Q's maximum is over θ", Q, {"target(rollout.obs,": "net(rollout.obs,"}, GRADIENTS),
    Error("½ on the Q loss", Q, {"Loss((error**2).sum()": "Loss(0.5 * (error**2).sum()"}, GRADIENTS),
    Error("the n-step loss is a mean", N_STEP, {"(error**2).sum()": "(error**2).mean()"}, GRADIENTS),
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
    Error("Sarsa draws another action than it valued", STREAM, {"self._planned or act(": "act("}, RUNS),
    Error(
        "Sarsa looks ahead from the new episode where one was truncated",
        STREAM,
        {"torch.where(torch.from_numpy(step.truncated), reached, next_action)": "next_action"},
        GRADIENTS,
    ),
    # Returns and ends of episodes
    Error(
        "returns are off by one",
        "returns.py",
        {"returns[i] = R = r[i] + d[i] * R": "returns[i], R = R, r[i] + d[i] * R"},
        "test_returns.py",
    ),
    Error("returns ignore the discount", "returns.py", {"d[i] * R": "d.max() * R"}, "test_returns.py"),
    Error(
        "the discount ignores terminals",
        STREAM,
        {"keep[i + 1] * self._gamma": "self._gamma"},
        GRADIENTS,
    ),
    Error(
        "truncation is treated as terminal",
        STREAM,
        {"keep[i + 1] *": "~(step.terminated | step.truncated) *"},
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
        {"(ended.all() or step.truncated.any())": "ended.all()"},
        GRADIENTS,
    ),
    Error(
        "a rollout runs over a terminal",
        STREAM,
        {"(ended.all() or ": "("},
        "runtime/test_stream.py::test_a_rollout_ends_where_all_episodes_do_and_at_any_truncation",
    ),
    Error("Gymnasium's last states are lost", "envs/gym.py", {"successor = obs.copy()": "successor = obs"}, "envs"),
    # Recurrence
    Error(
        "the carry is not reset at an episode's end",
        STREAM,
        {"self._carry = forget(choice.carry, ended)": "self._carry = choice.carry"},
        GRADIENTS,
    ),
    Error(
        "the carry is not reset where an episode is truncated",
        STREAM,
        {"forget(choice.carry, ended)": "forget(choice.carry, step.terminated)"},
        GRADIENTS,
    ),
    Error(
        "the mask of resets is off by one",
        STREAM,
        {"keep[i + 1] = ~step": "keep[i] = ~step", "keep[i + 1] *": "keep[i] *"},
        "runtime/test_stream.py",
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
            "self._planned = act(self._current, self._carry)": (
                "self._planned = act(self._current, self._carry)\n            self._carry = self._planned.carry"
            )
        },
        GRADIENTS,
    ),
    Error(
        "a rollout is handed the carry after it",
        STREAM,
        {"next_action, carry)": "next_action, self._carry)"},
        GRADIENTS,
    ),
    # Policies and networks
    Error(
        "log of a softmax",
        "networks/heads.py",
        {"F.log_softmax(self.logits(features), -1)": "F.softmax(self.logits(features), -1).log()"},
        "networks/test_policy.py",
    ),
    Error(
        "the Gaussian is sampled with its variance for a deviation",
        POLICY,
        {"self.variance.sqrt() * torch.randn_like": "self.variance * torch.randn_like"},
        "networks/test_policy.py",
    ),
    Error(
        "the Gaussian's density takes its variance for a deviation",
        POLICY,
        {"** 2 / self.variance +": "** 2 / self.variance**2 +"},
        "networks/test_policy.py",
    ),
    Error("frames are not scaled", "networks/bodies.py", {".float().div_(255)": ".float()"}, COMPILED),
    # Optimisers and the shared path
    Error(
        "ε stands outside the root",
        "optim.py",
        {"(g + self.eps).sqrt_()": "g.sqrt().add_(self.eps)"},
        "test_optim.py",
    ),
    Error("entries are clipped, not the norm", "optim.py", {"mul_(limit / norm)": "clamp_(-limit, limit)"}, RUNS),
    Error("the gradient is clipped after the update", WORKER, {"clip_(self.grad, ": "clip_(self.grad.clone(), "}, RUNS),
    Error("no worker shares its g", "parts.py", {'settings.name == "shared-rmsprop"': "False"}, "test_parts.py"),
    Error(
        "each worker has its own g",
        SHARED,
        {
            "states = 1 if optimizer.shared else workers": "states = workers",
            "[0 if optimizer.shared else worker]": "[worker]",
        },
        RUNS,
    ),
    Error(
        "all workers share one g where each has its own", SHARED, {"[0 if optimizer.shared else worker]": "[0]"}, RUNS
    ),
    Error("gradients add up over updates", WORKER, {"self.grad.zero_()": "pass"}, RUNS),
    Error(
        "autograd fills another vector than the one that is applied",
        SHARED,
        {'setattr(parameter, "grad", view)': 'setattr(parameter, "grad", view.clone())'},
        RUNS,
    ),
    Error("θ′ is not refreshed", WORKER, {"if learner.snapshots:": "if learner.snapshots and not self.updates:"}, RUNS),
    Error(
        "T mod I = 0",
        "schedules.py",
        {"after // period > before // period": "after % period == 0"},
        "test_schedules.py",
    ),
    Error(
        "θ⁻ is copied from a worker's θ′",
        WORKER,
        {"shared.sync_target(": '__import__("dataclasses").replace(shared, theta=self.local).sync_target('},
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
        "runtime/test_shared.py::test_of_two_that_count_at_once_one_sees_the_multiple_that_they_cross",
    ),
    # Schedules and exploration
    Error(
        "the learning rate follows a worker's own steps",
        WORKER,
        {"job.learning_rate(before)": "job.learning_rate(int(shared.counters[self.worker, 0]))"},
        RUNS,
    ),
    Error(
        "ε follows a worker's own steps",
        WORKER,
        {"born, T = shared.updates, shared.T": "born, T = shared.updates, int(shared.counters[self.worker, 0])"},
        RUNS,
    ),
    Error("the learning rate stays", "runtime/job.py", {"self.anneal_steps is None": "self.anneal_steps"}, RUNS),
    Error(
        "ε is not annealed",
        EXPLORATION,
        {"linear(1.0, final, T, self.anneal_steps)": "final"},
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
    Error("frames are taken for steps", "parts.py", {"frames // spec.frames_per_step": "frames"}, "test_parts.py"),
    Error("every worker has the same seed", WORKER, {"else (job.session, worker)": "else (job.session, 0)"}, RUNS),
    Error(
        "every session has the same seed",
        WORKER,
        {"else (job.session, worker)": "else (0, worker)"},
        "runtime/test_worker.py::test_workers_sessions_and_seeds_draw_different_actions_and_the_same_ones_the_same",
    ),
    Error(
        "a resumed worker begins its random numbers again",
        WORKER,
        {"if saved:": "if False:"},
        "runtime/test_worker.py::test_random_numbers_go_on_where_they_stopped",
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
        {"if not any(counted):": "if len(games) >= exam.episodes:", "= started < exam.episodes": "= True"},
        "runtime/test_evaluate.py::test_every_game_that_was_started_counts_and_no_other",
    ),
    Error(
        "an evaluation's carry runs over games",
        EVALUATE,
        {"forget(choice.carry, step.terminated | step.truncated)": "choice.carry"},
        "runtime/test_evaluate.py::test_the_carry_is_empty_where_a_game_begins",
    ),
    Error("evaluations are played as in training", "parts.py", {"cores(), False)": "cores(), True)"}, "test_parts.py"),
    Error("a frozen evaluation waits for ever", EVALUATE, {"self._silent += timeout": "pass"}, HANGING_EXAMINER),
    Error(
        "an evaluation that was broken off is forgotten",
        "session.py",
        {"crossed(self._evaluated, T,": "crossed(before, T,"},
        "test_session.py::test_an_evaluation_that_was_broken_off_is_made_up_for",
    ),
    # Turns
    Error("a worker that died holds its turn", TURNS, {"if stamp > counts": "if stamp > 0"}, TURN_TESTS),
    Error("a free core is forgotten", TURNS, {"free, now + lasts": "free, now"}, TURN_TESTS),
    Error("turns go to who asks first", TURNS, {"-stamp < since": "-stamp"}, TURN_TESTS),
    Error("two that begin at once take one core", TURNS, {"free[ahead], 0.0": "free[0], 0.0"}, TURN_TESTS),
    Error("who has left stays bound to its core", TURNS, {"        self._bind(self._numbers)\n": ""}, TURN_TESTS),
    Error("cores are bound that were not counted", TURNS, {" if len(numbers) == self._cores else []": ""}, TURN_TESTS),
    Error("an emulator's thread is not bound", TURNS, {"int(thread), numbers": "0, numbers"}, TURN_TESTS),
    Error("a turn of quick rollouts lasts too long", TURNS, {"(TURN_ROLLOUTS - self._rollouts)": "1000"}, TURN_TESTS),
    Error("whoever waits for an environment keeps its turn", TURNS, {">= BUSY *": ">= 0 *"}, TURN_TESTS),
    # Going on bit for bit
    Error("a resumed worker forgets its carry", STREAM, {"carries[0]": "self._fresh"}, GOES_ON),
    Error("a resumed Sarsa chooses anew", STREAM, {'if "planned.action" in tensors:': "if False:"}, GOES_ON),
    Error("a resumed worker draws other seeds", WORKER, {'saved.state.get("key", key)': "key"}, GOES_ON),
    Error("a resumed environment forgets its seeds", TAPE, {"list(record.resets)": "[1] * self.num_envs"}, GOES_ON),
    Error("environments that begin later are not seeded", TAPE, {"if row + 1 in record.starts:": "if False:"}, TAPES),
    Error("a tape forgets too much", TAPE, {"self._start - first\n": "self._start\n"}, TAPES),
    Error("what was reached before a new seed is lost", TAPE, {"np.where(is_cut, step.successor, obs)": "obs"}, TAPES),
    Error("rows that will come again are kept", ROWS, {"0) <= step": "0) <= 10**9"}, ROWS_TESTS),
    Error(
        "a row goes to a file that was replaced",
        "store/rows.py",
        {"if path.exists() and": "if True or"},
        "store/test_rows.py",
    ),
    Error(
        "a run goes on with other settings",
        "experiment.py",
        {"    if changed:": "    if not old:"},
        "test_experiment.py",
    ),
    Error("a state of long ago is kept", "snapshot.py", {'["steps"] == int(': '["steps"] <= int('}, TAPES),
    Error(
        "a pause is taken for the one before",
        WORKER,
        {"shared.ordered(PARK) == pause": "shared.is_ordered(PARK)"},
        MISSED,
    ),
    # Faults
    Error(
        "a child is born after its parent's death",
        BIRTH,
        {"os.getppid() != parent.pid": "False"},
        "test_birth.py",
    ),
    Error("the end of one who draws is not noticed", PRESS, {"with theirs:": "if theirs:"}, DRAWING),
    Error(
        "who draws complains of the report's end",
        PRESS,
        {"suppress(Exception):  # the report": "suppress():  # the report"},
        f"{DRAWING}::test_nobody_draws_for_a_report_that_was_killed",
    ),
    Error("who draws hears Ctrl-C", PRESS, {"unheard([signal.SIGINT])": "unheard([])"}, DRAWING),
    Error(
        "after Ctrl-C all is drawn to the end", PRESS, {", cancel_futures=True)": ")", "process.kill": "print"}, DRAWING
    ),
    Error("what a killed process left is drawn from the beginning", PRESS, {"done += 1": "pass"}, DRAWING),
    Error("panels change places", PRESS, {"idle), panels)": "idle), panels[::-1])"}, DRAWN),
    Error("each panel warns of the same", PRESS, {"said |= ": "said - "}, DRAWN),
    Error(
        "a run ends with a list of leaks",
        WORKER,
        {"        gc.unfreeze()": "        pass"},
        "test_cli.py::test_a_run_of_the_emulator_has_nothing_to_complain_of",
    ),
    Error("a failed worker is not replaced", HOGWILD, {"seat.due = now +": "seat.due = None and"}, OFTEN),
    Error(
        "a slow start counts as a rollout",
        HOGWILD,
        {"if self.is_at_work:": "if True:"},
        CREW + "a_slow_start_makes_nobody_patient_with_what_comes_later",
    ),
    Error("failures of a worker are not counted", HOGWILD, {"failures > restarts or": ""}, OFTEN),
    Error("a replaced worker plays the same games", WORKER, {"worker, replaced) if": "worker) if"}, OFTEN),
    Error(
        "a worker that hangs is waited for",
        HOGWILD,
        {"if seat.still > (": "if seat.still > 100 + ("},
        CREW + "a_worker_that_stands_still_is_found_ended_and_replaced",
    ),
    Error(
        "a pause is taken for a hang",
        HOGWILD,
        {"min(now - self._looked, LAPSE_SECONDS)": "now - self._looked"},
        CREW + "a_pause_of_any_length_is_nobodys_hang",
    ),
    Error("two processes train one run", "store/runs.py", {"fcntl.LOCK_EX |": "fcntl.LOCK_SH |"}, "store/test_runs.py"),
    Error(
        "going back to a checkpoint takes back the steps",
        "session.py",
        {"self._shared.restore_vectors(saved.tensors)": "self._shared.restore(saved.tensors)"},
        "test_session.py::test_weights_that_are_no_numbers_are_taken_from_the_last_checkpoint_and_training_goes_on",
    ),
    Error(
        "a scheduler that warns twice is taken for a user in a hurry",
        "endings.py",
        {"if number == signal.SIGUSR1 and self.heard is not None:": "if False:"},
        "test_endings.py",
    ),
    Error(
        "a resumed run forgets what was mended",
        "experiment.py",
        {'saved.meta["counts"] | saved.meta.get("health", {})': 'saved.meta["counts"]'},
        "test_experiment.py::test_counts_are_those_of_the_checkpoint_it_goes_on_from",
    ),
    Error(
        "a run whose checkpoints are damaged ends like a typing error",
        "store/manifest.py",
        {"code = Exit.NO_CHECKPOINT": "code = Exit.BAD_INPUT"},
        "test_experiment.py::test_a_run_whose_checkpoints_are_all_damaged_is_never_begun_anew",
    ),
    Error(
        "a run that was cut off is called running",
        "store/runs.py",
        {" and not _is_live(run)": " and False"},
        "test_facts.py",
    ),
    Error(
        "a second Ctrl-C leaves those who do not go",
        HOGWILD,
        {"        finally:  # also": "        except ZeroDivisionError:  # also"},
        "runtime/test_hogwild.py::test_ctrl_c_while_processes_are_waited_for_ends_those_that_do_not_go",
    ),
    Error(
        "each who does not go is waited for in turn",
        HOGWILD,
        {"GOING_SECONDS if self._is_ending else JOIN_SECONDS": "2 * JOIN_SECONDS"},
        "faults/test_commands.py::test_threads_that_environments_leave_behind_do_not_hold_up_the_end",
    ),
    Error(
        "environments stay open",
        WORKER,
        {"learner.tape.close()": "pass"},
        CREW + "at_the_end_environments_are_closed_and_if_that_fails_nothing_is_lost",
    ),
    Error(
        "an evaluation that raises is never played again",
        "runtime/evaluate.py",
        {"return self._replace(said, is_accident=False)": "return said"},
        "runtime/test_evaluate.py::test_a_game_that_raises_is_played_again_but_not_for_ever",
    ),
    Error(
        "whoever asks keeps the owner out",
        "store/runs.py",
        {"time.monotonic() > deadline:\n                raise": "True:\n                raise"},
        "store/test_runs.py::test_whoever_asks_who_trains_a_run_keeps_nobody_from_it",
    ),
    Error(
        "updates of the dead are forgotten",
        "logbook.py",
        {"max(self.updates, event.applied)": "self.updates + event.updates"},
        "test_logbook.py",
    ),
    # A full disk
    Error("a full disk loses rows", KEEPER, {"rows.append(row)": "rows.append(row) if not self.reason else 0"}, FULL),
    Error("rows wait without bound", KEEPER, {"if len(rows) < BACKLOG:": "if True:"}, FULL),
    Error("a full disk is written to all the time", KEEPER, {"min(2 * self._delay, LONGEST_RETRY)": "0.0"}, FULL),
    Error("a full disk is waited out for ever", KEEPER, {">= self._patience": ">= 1e9"}, FULL),
    Error(
        "one full file keeps the others waiting",
        KEEPER,
        {"failed = error\n": "failed = error\n                break\n"},
        FULL,
    ),
    Error(
        "a checkpoint that found no room is not tried again",
        "session.py",
        {" or self._writer.wants_checkpoint)": ")"},
        "test_session.py::test_a_disk_that_stays_full_ends_the_run_when_there_is_no_patience_left",
    ),
    # Before the start
    Error("the memory of θ⁻ is forgotten", SHARED, {"1 + has_target +": "1 +"}, "test_preflight.py"),
    Error(
        "the limit of open files stays",
        "machine.py",
        {"resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))": "pass"},
        "test_machine.py",
    ),
    Error(
        "a resumed run needs room for the checkpoints it has",
        "preflight.py",
        {"keep + 1 - saved": "keep + 1"},
        "test_preflight.py",
    ),
    # The compiled part
    Error("ε is outside the compiled root", NATIVE, {"sqrtf(g[i] + eps)": "(sqrtf(g[i]) + eps)"}, COMPILED),
    Error(
        "the compiled g forgets to square",
        NATIVE,
        {"one_minus_alpha * grad[i] * grad[i]": "one_minus_alpha * grad[i]"},
        COMPILED,
    ),
    Error("the hidden layer's rectifier is not differentiated", NATIVE, {"features[i] <= 0 ? 0 :": ""}, COMPILED),
    Error("the first rectifier is not differentiated", NATIVE, {"a1[i] <= 0 ? 0 :": ""}, COMPILED),
    Error(
        "compiled weights are in another order", NATIVE, {"* c.K + ky) * c.K + kx": "* c.K + kx) * c.K + ky"}, COMPILED
    ),
    Error("the compiled pixels are not scaled", NATIVE, {"* (1 / 255.0f)": ""}, COMPILED),
    Error("a compiled rectifier hides what is no number", NATIVE, {"& ~(v < 0)": "& (v > 0)"}, COMPILED),
    Error("a line's gradient is its last", NATIVE, {"bits |= ((": "bits = (("}, COMPILED),
    Error("g does not decay without a gradient", NATIVE, {"g[i] *= alpha;": ";"}, COMPILED),
    Error("an input is active if the last state says so", NATIVE, {"used[i] || !is_zero": "!is_zero"}, COMPILED),
    Error(
        "a change below goes unseen",
        NATIVE,
        {"any(cells + y * across + x, 2) || any(cells + (y + 1) * across + x, 2)": "any(cells + y * across + x, 2)"},
        COMPILED,
    ),
    Error("a change goes unseen by the next layer", NATIVE, {"k < c.K; k++) sees": "k < c.S; k++) sees"}, COMPILED),
    Error("gradients of what stood still are lost", NATIVE, {"+= changed[p] ? 0 : *from": "+= 0"}, COMPILED),
    Error("gradients of what stood still count twice", NATIVE, {"*from = changed[p] ? *from : 0;": ""}, COMPILED),
    Error("a unit is active if the last state says so", NATIVE, {"is_active |= grad": "is_active = grad"}, COMPILED),
    Error(
        "compiled gradients replace those there",
        NATIVE,
        {"[torch_index(c, o, s, i)] += *": "[torch_index(c, o, s, i)] = *"},
        COMPILED,
    ),
    Error("what another thread found is lost", TORSO, {"gradient += more": "gradient += 0 * more"}, COMPILED),
    Error("gradients are added twice", TORSO, {"[None] * len(weights) if in_place else total": "total"}, COMPILED),
    Error(
        "what was computed with old weights is not forgotten",
        WORKER,
        {"            self.clear_cache()\n": ""},
        f"{COMPILED}::test_after_many_updates_the_weights_agree",
    ),
    Error(
        "the shared weights' features are remembered",
        WORKER,
        {"if self.learner.snapshots else 0": "if True else 0"},
        f"{COMPILED}::test_after_many_updates_the_weights_agree",
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
