"""The link between two network namespaces of ``benchmarks.cluster``."""

import os
import shutil
import subprocess
import sys

import pytest

from benchmarks.network import Link, namespaces

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(120),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("tc"), reason="needs root, ip and tc"),
]

SIZES = 1, 5_000_000  # bytes
BURST = 256 * 1024  # bytes that may pass at once
SERVER = f"""
import socket
server = socket.create_server(("", 5000))
print("ready", flush=True)
connection = server.accept()[0]
for size in {SIZES}:
    while size > 0:
        size -= len(connection.recv(1 << 20))
    connection.sendall(b".")
"""
CLIENT = f"""
import socket, sys, time
connection = socket.create_connection((sys.argv[1], 5000))
for size in {SIZES}:
    start = time.monotonic()
    connection.sendall(bytes(size))
    connection.recv(1)
    print(time.monotonic() - start)
"""


def listed():
    """Return the names of this machine's network namespaces."""
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def seconds_to_answer(link):
    """Return how long each of SIZES bytes and their answer of one byte take."""
    with namespaces(link) as (server, nodes):
        serving = subprocess.Popen(nodes.command(sys.executable, "-c", SERVER), stdout=subprocess.PIPE, text=True)
        assert serving.stdout.readline() == "ready\n"
        command = server.command(sys.executable, "-c", CLIENT, nodes.address)
        client = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert serving.wait(10) == 0
    return [float(line) for line in client.stdout.split()]


def test_packets_arrive_after_the_delay_both_ways():
    one_byte, _ = seconds_to_answer(Link(gigabits=0, milliseconds=50))
    assert one_byte >= 2 * 0.05


def test_bytes_need_the_time_of_the_rate():
    _, many = seconds_to_answer(Link(gigabits=0.1, milliseconds=0))
    assert many >= 8 * (SIZES[1] - BURST) / 0.1e9


def test_namespaces_and_their_processes_are_removed():
    before = listed()
    with namespaces(Link(gigabits=1, milliseconds=1)) as (_, nodes):
        asleep = subprocess.Popen(nodes.command("sleep", "1000"))
        assert listed() != before
    assert asleep.wait(10) != 0
    assert listed() == before
