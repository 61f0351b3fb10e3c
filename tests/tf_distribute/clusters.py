"""Processes of a cluster on this machine: free ports, time limits, and nobody left behind."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from processes import path

HERE = Path(__file__).parent


def free_ports(number):
    """Give ports that nobody listens at; all at once, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def addresses(number):
    return [f"127.0.0.1:{port}" for port in free_ports(number)]


def start(script, *arguments, **environment):
    """Start a script of this folder."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(HERE / script), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path(HERE)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def workers(script, number, *arguments, timeout=240):
    """Run a script as the workers of a cluster, each with its TF_CONFIG, to their end."""
    cluster = {"worker": addresses(number)}
    running = []
    try:
        for index in range(number):
            config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
            running.append(start(script, *arguments, TF_CONFIG=json.dumps(config)))
        printed = [one.communicate(timeout=timeout)[0] for one in running]
    finally:
        for one in running:
            one.kill()
            one.wait()
    _check(running, printed)


def run(script, *arguments, timeout=240):
    """Run a script, which starts a cluster itself, to its end."""
    running = start(script, *arguments)
    try:
        printed = running.communicate(timeout=timeout)[0]
    finally:
        running.kill()
        running.wait()
    _check([running], [printed])


def _check(running, printed):
    shown = "\n".join(f"exit status {one.returncode}\n{text}" for one, text in zip(running, printed, strict=True))
    assert all(one.returncode == 0 for one in running), shown
