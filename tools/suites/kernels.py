"""QEMU's tests/tcg for system emulation: a folder of their built kernels (hello, memory).

Each starts with -kernel, prints on the debug port, and ends the emulator through
isa-debug-exit with status 0 if all went well.
"""
import os
import shlex
import signal
import subprocess

from . import programs
from .guest import Job, Result, SuiteError

NATIVE = False
BOARD = ["-nodefaults", "-m", "128", "-display", "none", "-no-reboot", "-chardev", "stdio,id=output",
         "-device", "isa-debugcon,chardev=output", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]


def options(_):
    pass


def jobs(o):
    return [Job(os.path.relpath(p, o.checkout), "", o.checkout, o.timeout, {"kernel": p})
            for p in programs.executables(o.checkout)], []


def run_kernel(emulator, job, log):
    command = shlex.split(emulator) + BOARD + ["-kernel", job.info["kernel"]]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                              timeout=job.timeout, check=False)
    except subprocess.TimeoutExpired as e:
        return Result("timeout", e.stdout or b"")
    except OSError as e:
        raise SuiteError("cannot start %s: %s" % (command[0], e.strerror)) from e
    if done.returncode < 0:
        return Result("crash " + signal.Signals(-done.returncode).name, done.stdout)
    return Result(done.returncode, done.stdout)


def run(emulator, made, log_path, say):
    results = []
    with open(log_path, "wb") as log:
        for i, job in enumerate(made):
            say(i, job.name)
            results.append(run_kernel(emulator, job, log))
    return results


def judge(_, result, __):
    if not isinstance(result.status, int):
        return result.status
    return "fail status %d" % result.status if result.status else "pass"
