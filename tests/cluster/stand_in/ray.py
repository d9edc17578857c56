"""What asyncrl uses of Ray, on this machine alone: each actor is a process, and ends with the process that made it.

It is imported in the place of Ray where its directory is in PYTHONPATH. RAY_FAILS names a file: while it is there,
``wait`` deletes it and raises, as where the head of a cluster is lost.
"""

import multiprocessing
import os
import secrets
import signal
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Client, Listener

from asyncrl.system.child_process import end_with_parent

CONTEXT = multiprocessing.get_context("spawn")
START_SECONDS = 100.0


class exceptions:
    """The module of errors."""

    class RayError(Exception):
        """Any error of Ray."""


class Reference:
    """The result of a call, once it is there."""

    def __init__(self):
        self.is_ready, self.value, self.error = threading.Event(), None, None

    def set(self, value=None, error=None):
        self.value, self.error = value, error
        self.is_ready.set()


class Method:
    def __init__(self, actor, name):
        self._actor, self._name = actor, name

    def remote(self, *arguments):
        return self._actor.call(self._name, arguments)


class Actor:
    """A handle of an actor, for any process: each has a connection of its own."""

    def __init__(self, address):
        self.address = address

    def __reduce__(self):
        return Actor, (self.address,)

    def __getattr__(self, name):
        return Method(self, name)

    def call(self, name, arguments):
        reference = Reference()
        threading.Thread(target=self._call, args=(reference, name, arguments), daemon=True).start()
        return reference

    def _call(self, reference, name, arguments):
        """Make a call over a connection of its own."""
        try:
            with connect(self.address) as connection:
                connection.send((name, arguments))
                value, error = connection.recv()
        except (EOFError, OSError):
            value, error = None, "the actor died"
        reference.set(value, error and exceptions.RayError(error))


def connect(address):
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return Client(address)
        except ConnectionRefusedError:
            if time.monotonic() > deadline or address in KILLED:
                raise
        time.sleep(0.01)


KILLED = set()  # addresses of actors


class ActorClass:
    def __init__(self, made):
        self._made, self._restarts, self._concurrency = made, 0, 1

    def options(self, max_restarts=0, max_concurrency=1, **options):
        self._restarts, self._concurrency = max_restarts, max_concurrency
        return self

    def remote(self, *arguments):
        address = f"\0asyncrl-{secrets.token_hex(8)}"
        started = threading.Event()
        threading.Thread(target=self._keep, args=(address, arguments, started), daemon=True).start()
        started.wait()
        return Actor(address)

    def _keep(self, address, arguments, started):
        """Start the process again where it dies, as often as it may."""
        for _ in range(1 + (1000 if self._restarts < 0 else self._restarts)):
            if address in KILLED:
                break
            process = CONTEXT.Process(
                target=serve, args=(address, self._made, arguments, self._concurrency, os.getpid())
            )
            process.start()
            PROCESSES[address] = process
            started.set()
            process.join()


PROCESSES = {}  # by the address of the actor


def serve(address, made, arguments, concurrency, parent):
    """Run an actor."""
    end_with_parent(parent, signal.SIGKILL)
    actor, turn = made(*arguments), threading.Semaphore(concurrency)
    with Listener(address, backlog=100) as listener:
        while True:
            threading.Thread(target=answer, args=(actor, turn, listener.accept()), daemon=True).start()


def answer(actor, turn, connection):
    value = error = None
    with suppress(EOFError, OSError), connection:
        name, arguments = connection.recv()
        try:
            with turn:
                value = getattr(actor, name)(*arguments)
        except Exception as raised:
            error = repr(raised)
        connection.send((value, error))


remote = ActorClass


def is_initialized():
    return False


def init(**options):
    pass


def shutdown():
    pass


def nodes():
    return [{"Alive": True, "Resources": {"CPU": 4.0}}] * 2


def kill(actor):
    KILLED.add(actor.address)
    PROCESSES[actor.address].kill()
    PROCESSES[actor.address].join()


def wait(references, num_returns=1, timeout=None):
    fails = os.environ.get("RAY_FAILS", "")
    if os.path.exists(fails):
        os.unlink(fails)
        raise exceptions.RayError("the head is lost")
    deadline = time.monotonic() + (1e9 if timeout is None else timeout)
    while True:
        ready = [each for each in references if each.is_ready.is_set()]
        if len(ready) >= num_returns or time.monotonic() >= deadline:
            return ready, [each for each in references if each not in ready]
        time.sleep(0.001)


def get(references, timeout=None):
    if isinstance(references, list):
        return [get(each, timeout) for each in references]
    references.is_ready.wait(timeout)
    if references.error is not None:
        raise references.error
    return references.value
