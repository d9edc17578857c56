"""Asynchronous reinforcement learning on CPUs: the four methods of Mnih et al. (2016) on one Hogwild runtime."""
