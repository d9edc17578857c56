"""Two network namespaces of this machine that are joined by a link with a rate and a delay, as two machines are.

It needs root on Linux, and the commands ip and tc of iproute2. The kernel limits the rate (``tc tbf``). Not every
kernel has the queue that delays packets (``tc netem``), so a program here does that: it copies packets from one end of
the link to the other one.
"""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23  # linux/if_packet.h
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h: above the system's limit, for root
ETH_P_ALL = 3
PACKET_BYTES = 1 << 17  # more than the largest packet that a kernel passes
BUFFER_BYTES = 1 << 26
STOP_SECONDS = 10.0
ADDRESSES = ("10.77.0.1", "10.77.0.2")


class Link(NamedTuple):
    """What a link does to packets, in each direction."""

    gigabits: float  # a second; 0 is no limit
    milliseconds: float  # that a packet is under way


class Namespace(NamedTuple):
    """An end of the link."""

    name: str
    address: str

    def command(self, *words: str) -> list[str]:
        """Return a command line that runs in this namespace."""
        return ["ip", "netns", "exec", self.name, *words]

    def stop(self) -> None:
        """End all processes in this namespace, and wait for them; those that do not end are killed."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + STOP_SECONDS
            while (pids := self._pids()) and time.monotonic() < end:
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
                time.sleep(0.5)

    def _pids(self) -> list[int]:
        said = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False).stdout
        return [int(word) for word in said.split()]


def call(*words: str) -> None:
    """Run a command that changes namespaces; raise RuntimeError with its message if it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def namespaces(link: Link) -> Iterator[tuple[Namespace, Namespace]]:
    """Make the two ends of a link; end all of their processes and remove them at the end.

    Raises:
        RuntimeError: a namespace cannot be made, for example without root.
    """
    prefix = f"asyncrl-{os.getpid()}"
    ends = Namespace(f"{prefix}-server", ADDRESSES[0]), Namespace(f"{prefix}-nodes", ADDRESSES[1])
    middle = Namespace(f"{prefix}-link", "")
    every = (*ends, middle)
    try:
        for namespace in every:
            call("ip", "netns", "add", namespace.name)
            call("ip", "-n", namespace.name, "link", "set", "lo", "up")
        for i, end in enumerate(ends):
            port = f"port{i}"
            call("ip", "link", "add", "eth0", "netns", end.name, "type", "veth", "peer", port, "netns", middle.name)
            call("ip", "-n", end.name, "address", "add", f"{end.address}/24", "dev", "eth0")
            call("ip", "-n", end.name, "link", "set", "eth0", "up")
            call("ip", "-n", middle.name, "link", "set", port, "up")
            if link.gigabits:
                limit = ("tbf", "rate", f"{link.gigabits}gbit", "burst", "256kb", "latency", "200ms")
                call("tc", "-n", end.name, "qdisc", "add", "dev", "eth0", "root", *limit)
        subprocess.Popen(
            middle.command(sys.executable, "-m", "benchmarks.network", "port0", "port1", str(link.milliseconds))
        )
        yield ends
    finally:
        for namespace in every:
            namespace.stop()
        for namespace in every:
            subprocess.run(["ip", "netns", "delete", namespace.name], capture_output=True, check=False)


def _open(port: str) -> socket.socket:
    """Return a socket for all packets that arrive at a network interface, as the kernel has them."""
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    # a header with each packet has its open checksum and segments, so that large packets stay whole
    packets.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    packets.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    for option in (SO_SNDBUFFORCE, SO_RCVBUFFORCE):
        packets.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    packets.bind((port, 0))
    return packets


def _copy(source: socket.socket, target: socket.socket, seconds: float) -> None:
    """Send each packet of one end to the other one, some seconds later."""
    waiting: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def send() -> None:
        while True:
            due, packet = waiting.get()
            if (left := due - time.monotonic()) > 0:
                time.sleep(left)
            with suppress(OSError):  # a link may lose packets
                target.send(packet)

    threading.Thread(target=send, daemon=True).start()
    while True:
        packet = source.recv(PACKET_BYTES)
        waiting.put((time.monotonic() + seconds, packet))


def _delay(one: str, other: str, milliseconds: str) -> None:
    """Copy packets between two network interfaces until the process is ended."""
    first, second = _open(one), _open(other)
    seconds = float(milliseconds) / 1000
    threading.Thread(target=_copy, args=(first, second, seconds), daemon=True).start()
    _copy(second, first, seconds)


if __name__ == "__main__":
    _delay(*sys.argv[1:])
