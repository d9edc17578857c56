import pytest

from tests.past import write_document


@pytest.fixture
def root(tmp_path):
    """Three runs, the oldest last in the alphabet."""
    root = tmp_path / "results"
    for name, day, env, algo, threads, lr in (
        ("pong-b", 3, "pong", "a3c", 16, 7e-4),
        ("pong-c", 2, "ALE/Pong-v5", "a3c", 4, 1e-3),
        ("qbert-d", 1, "qbert", "n-step-q", 8, 1e-4),
    ):
        config = {
            "env": env,
            "algo": algo,
            "threads": threads,
            "frames": 10_000_000,
            "optimizer": {"lr": lr, "anneal": True},
        }
        write_document(root, name, started=f"2026-11-0{day}T00:00:00+00:00", status="finished", config=config)
    return root
