"""valgrind's none/tests, run by the processor instead of by valgrind.

Takes valgrind's own folder, built with its tests. Which programs there are, with
which arguments and filters, is read from the .vgtest files. Standard output must
be one of the .stdout.exp files; where a test has none, output and exit status
must be what this machine gives. The exit status must be this machine's always.
Standard error is valgrind's own in most of the tests, and not compared.
"""
import glob
import os
import subprocess

from . import programs
from .guest import Job, SuiteError

NATIVE = True
FOLDERS = ["", "amd64", "x86", "linux", "amd64-linux", "x86-linux"]
LEFT_OUT = (".o", ".h", ".s", ".S", ".cpp", ".exp", ".Po", ".am", ".in")
NO_PREREQUISITE = 77


def options(_):
    pass


def read_vgtest(path):
    keys = {"env": []}
    for line in open(path):
        key, colon, value = line.strip().partition(":")
        if not colon or key.startswith("#"):
            continue
        if key == "env":
            keys["env"].append(value.strip())
        else:
            keys[key] = value.strip()
    return keys


def command(keys):
    program = keys["prog"] if keys["prog"].startswith("/") else "./" + keys["prog"]
    run = "%s %s %s" % (" ".join(keys["env"]), program, keys.get("args", ""))
    if "prereq" in keys:
        return "(%s) >/dev/null 2>&1 || exit %d; %s" % (keys["prereq"], NO_PREREQUISITE, run)
    return run


def vgtest_jobs(o, folder):
    for path in sorted(glob.glob(os.path.join(folder, "*.vgtest"))):
        keys = read_vgtest(path)
        if "prog" in keys and os.access(os.path.join(folder, keys["prog"]), os.X_OK):
            name = os.path.relpath(path, os.path.join(o.checkout, "none", "tests"))[:-len(".vgtest")]
            keys["base"] = path[:-len(".vgtest")]
            yield Job(name, command(keys), folder, o.timeout, keys)


def needed_files(folder):
    """Programs, scripts and what they read (one its own source), but no objects."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and not name.endswith(LEFT_OUT) and ".exp" not in name:
            yield path


def jobs(o):
    tests = os.path.join(o.checkout, "none", "tests")
    made, paths = [], list(needed_files(os.path.join(o.checkout, "tests")))
    for name in FOLDERS:
        folder = os.path.normpath(os.path.join(tests, name))
        if os.path.isdir(folder):
            made += vgtest_jobs(o, folder)
            paths += needed_files(folder)
    if not made:
        raise SuiteError("no built tests in %s" % tests)
    return made, paths


def filtered(job, out):
    if "stdout_filter" not in job.info:
        return out
    script = os.path.join(job.folder, job.info["stdout_filter"])
    return subprocess.run([script, *job.info.get("stdout_filter_args", "").split()], input=out, cwd=job.folder,
                          stdout=subprocess.PIPE, check=False).stdout


def judge(job, result, native):
    if result.status == NO_PREREQUISITE and "prereq" in job.info:
        return "skip"
    expected = [open(p, "rb").read() for p in glob.glob(job.info["base"] + ".stdout.exp*")]
    if not expected or not isinstance(result.status, int) or (native.steady and result.status != native.status):
        return programs.judge(job, result, native)
    if filtered(job, result.out) in expected:
        return "pass"
    return "native" if result.out == native.out else programs.judge(job, result, native)
