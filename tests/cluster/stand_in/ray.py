"""What asyncrl uses of Ray, on this machine alone: each actor is a process, and ends with the process that made it.

It is imported in the place of Ray where its directory is in PYTHONPATH. RAY_FAILS names a file: while it is there,
``wait`` deletes it and raises, as where the head of a cluster is lost.
"""

import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from itertools import count

from asyncrl.system.child_process import end_with_parent

CONTEXT = multiprocessing.get_context("spawn")


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
    """A process with an object of a class; calls to it run in threads."""

    def __init__(self, made, arguments):
        self._pipe, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=serve, args=(theirs, made, arguments, os.getpid()), name="actor")
        self.process.start()
        theirs.close()
        self._open, self._numbers, self._lock = {}, count(), threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def __getattr__(self, name):
        return Method(self, name)

    def call(self, name, arguments):
        reference = Reference()
        with self._lock:
            number = next(self._numbers)
            self._open[number] = reference
            try:
                self._pipe.send((number, name, arguments))
            except OSError:
                reference.set(error=exceptions.RayError("the actor died"))
        return reference

    def _read(self):
        with suppress(EOFError, OSError):
            while True:
                number, value, error = self._pipe.recv()
                self._open.pop(number).set(value, error and exceptions.RayError(error))
        for reference in list(self._open.values()):
            reference.set(error=exceptions.RayError("the actor died"))


def serve(pipe, made, arguments, parent):
    """Run an actor."""
    end_with_parent(parent, signal.SIGKILL)
    actor, lock = made(*arguments), threading.Lock()

    def call(number, name, given):
        value = error = None
        try:
            value = getattr(actor, name)(*given)
        except Exception as raised:
            error = repr(raised)
        with lock, suppress(OSError):
            pipe.send((number, value, error))

    with suppress(EOFError):
        while True:
            threading.Thread(target=call, args=pipe.recv(), daemon=True).start()
    os._exit(0)


class ActorClass:
    def __init__(self, made):
        self._made = made

    def options(self, **options):
        return self

    def remote(self, *arguments):
        return Actor(self._made, arguments)


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
    actor.process.kill()
    actor.process.join()


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


def get(reference, timeout=None):
    reference.is_ready.wait(timeout)
    if reference.error is not None:
        raise reference.error
    return reference.value
