"""Servers in this process, nodes of a run, and the same run without nodes."""

import threading

import torch

from asyncrl.cluster.agent import NodeAgent
from asyncrl.cluster.messages import Push
from asyncrl.cluster.server import ParameterServer
from asyncrl.optim import LearningRate, Momentum
from asyncrl.runtime.control import Control
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import SharedParameters
from tests.runtime.setups import actor, make_pool, prepare, share

P = 5
NO_PAUSE = 2**62
LR, DECAY = 0.5, 0.75
# the settings of a short run
TABLE = {
    "env": "CartPole-v1",
    "algo": "a3c",
    "threads": 1,
    "frames": 3000,
    "evaluation": {"every": 1000, "episodes": 2},
}


def job_of(**table) -> Job:
    """Return the parts of a short run of CartPole."""
    return prepare(**{"env": "CartPole-v1", "algo": "a3c", "frames": 600, "seed": 3, "target_frames": 100} | table)[0]


def parameters_of(job: Job) -> SharedParameters:
    """Return a run's parameters, with the same weights at each call."""
    torch.manual_seed(1)
    return share(job)


def small_parameters(workers: int = 1, target_period: int | None = None) -> SharedParameters:
    """Return ``[P]`` weights of 0, each worker with a momentum of its own."""
    rate = LearningRate(LR, 100)
    return SharedParameters.allocate(torch.zeros(P), workers, Momentum(DECAY), rate, target_period)


def serve(parameters: SharedParameters, nodes: int = 1, max_staleness: int = 100) -> ParameterServer:
    """Return a server whose nodes never pause."""
    server = ParameterServer(parameters, Control.allocate(parameters.workers), nodes, max_staleness)
    server.control.release(NO_PAUSE)
    return server


def push(seq: int = 1, gradient: torch.Tensor | None = None, **changes) -> Push:
    """Return a push of 5 steps of node 0, which has one worker."""
    values = torch.ones(P) if gradient is None else gradient
    default = Push(node=0, incarnation=1, seq=seq, base_version=0, gradient=values.numpy(), updates=1, steps=(5,))
    return default._replace(**changes)


def train_in_turn(job: Job, parameters: SharedParameters) -> SharedParameters:
    """Train with one worker in this process, without nodes."""
    worker = actor(job, parameters)
    while parameters.T < job.budget:
        worker.update()
    worker.environments.close()
    return parameters


def train_in_thread(job: Job, server: ParameterServer, push_every: int = 1) -> ParameterServer:
    """Train with one node whose only worker is a thread of this process; its agent starts no process."""
    agent = NodeAgent(job, 0, 1, 1, server, push_every)
    worker = actor(job, agent.parameters)

    def work():
        while agent.parameters.T < job.budget:
            worker.update()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        agent.poll()
    agent.run()  # the last push
    worker.environments.close()
    return server


def train_with_processes(job: Job) -> SharedParameters:
    """Train with worker processes, without nodes."""
    parameters = parameters_of(job)
    pool = make_pool(job, parameters)
    pool.release()
    with pool:
        while pool.is_running:
            list(pool.events())
    return parameters


def run_node(job: Job, server, push_every: int, node: int = 0, nodes: int = 1, incarnation: int = 1) -> None:
    """Run a node with worker processes to its end."""
    with NodeAgent(job, node, nodes, incarnation, server, push_every) as agent:
        agent.run()
