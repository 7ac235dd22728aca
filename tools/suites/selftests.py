"""Linux's tools/testing/selftests: a folder of it (x86, mm) in which make has run.

Every executable there runs without arguments. The exit status says how it went,
as kselftest defines it: 0 pass, 4 skip.
"""
from . import programs

NATIVE = False
SKIP = 4


def options(_):
    pass


def jobs(o):
    return programs.jobs(o)


def judge(_, result, __):
    if not isinstance(result.status, int):
        return result.status
    if result.status == SKIP:
        return "skip"
    if result.status == 0:
        return "skip" if b"[SKIP]" in result.out and b"[OK]" not in result.out else "pass"
    failed = sum(line.lstrip().startswith((b"[FAIL]", b"not ok")) for line in result.out.split(b"\n"))
    return "fail status %d%s" % (result.status, ", %d checks" % failed if failed else "")
