"""Any folder of built test programs (QEMU's tests/tcg, say).

Every executable below the folder runs without arguments. Its exit status and
what it prints must be the same as when this machine itself runs it; either does
not count if two runs on this machine differ in it.
"""
import os

from .guest import Job, SuiteError, is_elf

NATIVE = True


def options(_):
    pass


def executables(checkout):
    for folder, _, names in sorted(os.walk(checkout)):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK) and os.path.isfile(path) and is_elf(path):
                yield path


def jobs(o):
    paths = list(executables(o.checkout))
    if not paths:
        raise SuiteError("no programs below %s: is the suite built there?" % o.checkout)
    made = [Job(os.path.relpath(p, o.checkout), "./" + os.path.basename(p), os.path.dirname(p), o.timeout)
            for p in paths]
    return made, paths


def first_difference(a, b):
    """Number of the first line that differs, from 1."""
    a, b = a.split(b"\n"), b.split(b"\n")
    same = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return same + 1


def judge(_, result, native):
    if not isinstance(result.status, int):
        return "%s%s" % (result.status, " (native, too)" if result.status == native.status else "")
    if native.steady and result.status != native.status:
        return "fail status %s, not %s" % (result.status, native.status)
    if native.stable and result.out != native.out:
        return "fail line %d" % first_difference(result.out, native.out)
    return "pass"
