"""A session that goes back to a checkpoint in a pause: all nodes get θ⁻ again."""

import numpy as np
import torch

from asyncrl.cluster.pool import ClusterPool
from asyncrl.cluster.push_costs import PushCosts
from asyncrl.cluster.simulated_nodes import NetworkNodes
from asyncrl.runtime.control import Control
from tests.cluster.setups import NO_PAUSE, job_of, parameters_of, push
from tests.cluster.test_pool import Launcher


def value_job():
    """Return a job of two nodes with θ⁻."""
    return job_of(algo="one-step-q", threads=1, cluster={"nodes": 2})


def test_nodes_get_the_target_of_a_session_that_went_back_to_a_checkpoint():
    job = value_job()
    parameters, launcher = parameters_of(job), Launcher()
    pool = ClusterPool(job, parameters, Control.allocate(2), None, 2, 100, launcher)
    pool.release(NO_PAUSE)
    with pool:
        empty = push(steps=(0,), targets=1)._replace(gradient=None)
        pause = pool.server.control.pause
        assert pool.server.push(empty).target is None
        for node, seq in ((0, 2), (1, 1)):
            pool.server.push(empty._replace(node=node, seq=seq, parked_in=pause))
        list(pool.park())
        saved = {name: torch.full_like(each, 0.5) for name, each in parameters.tensors().items()}
        parameters.restore_vectors(saved)
        pool.release(NO_PAUSE)
        for node, seq in ((0, 3), (1, 2)):
            answer = pool.server.push(empty._replace(node=node, seq=seq))
            assert np.array_equal(answer.theta, saved["theta"].numpy())
            assert np.array_equal(answer.target, saved["target"].numpy())
            assert pool.server.push(empty._replace(node=node, seq=seq + 1, targets=answer.targets)).target is None


def test_simulated_nodes_go_on_after_a_barrier_with_the_weights_of_the_session():
    job = value_job()
    parameters = parameters_of(job)
    nodes = NetworkNodes(parameters, Control.allocate(2), 2, 1, 100, PushCosts(0.0, 0.0, 0.0, 0.0, 0.0))
    nodes.begin([0.0, 0.0])
    nodes.end()
    saved = {name: torch.full_like(each, 0.5) for name, each in parameters.tensors().items()}
    parameters.restore_vectors(saved)
    nodes.begin([1.0, 1.0])
    for worker in (0, 1):
        net, target = job.make_network(), job.make_network()
        nodes.parameters(worker).bind(net)
        nodes.parameters(worker).bind_target(target)
        for each in (*net.parameters(), *target.parameters()):
            assert (each == 0.5).all()
