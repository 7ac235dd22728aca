"""test386.asm: a boot ROM that tests the 80386 from real mode up.

Takes its folder with assembled ROM images (*.bin) in it. A ROM has passed if its
last diagnostic byte is FF and what it printed is test386-EE-reference.txt; the
ports it does that on are those its source was configured with.
"""
import glob
import os
import shlex
import subprocess
import time

from .guest import Job, Result, SuiteError

NATIVE = False
PASSED = 0xff


def options(parser):
    parser.add_argument("--post-port", default="0x190", help="POST_PORT of the images [0x190]")
    parser.add_argument("--out-port", default="0xe9", help="OUT_PORT of the images [0xe9]")


def jobs(o):
    images = sorted(glob.glob(os.path.join(o.checkout, "*.bin")))
    if not images:
        raise SuiteError("no assembled images (*.bin) in %s" % o.checkout)
    return [Job(os.path.basename(p), "", o.checkout, o.timeout, {"image": p, "o": o}) for p in images], []


def port(name, iobase, path):
    return ["-chardev", "file,id=%s,path=%s" % (name, path), "-device", "isa-debugcon,iobase=%s,chardev=%s" % (iobase, name)]


def contents(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return b""


def run_image(emulator, job, log):
    o = job.info["o"]
    post, out = (os.path.join(o.work, "test386." + kind) for kind in ("post", "out"))
    for path in (post, out):
        if os.path.exists(path):
            os.unlink(path)
    command = shlex.split(emulator) + ["-nodefaults", "-display", "none", "-no-reboot", "-m", "16", "-bios", job.info["image"]]
    try:
        p = subprocess.Popen(command + port("post", o.post_port, post) + port("out", o.out_port, out),
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    except OSError as e:
        raise SuiteError("cannot start %s: %s" % (command[0], e.strerror)) from e
    end = time.monotonic() + job.timeout
    while time.monotonic() < end and p.poll() is None and contents(post)[-1:] != bytes([PASSED]):
        time.sleep(0.2)
    p.kill()
    p.wait()
    code = contents(post)
    return Result(code[-1] if code else "hang", contents(out), code)


def run(emulator, made, log_path, say):
    if emulator == "native":
        raise SuiteError("test386 is a boot ROM: there is no native run")
    results = []
    with open(log_path, "wb") as log:
        for i, job in enumerate(made):
            say(i, job.name)
            results.append(run_image(emulator, job, log))
    return results


def judge(job, result, _):
    if result.status == "hang":
        return "hang"
    if result.status != PASSED:
        return "fail POST %02X" % result.status
    reference = contents(os.path.join(job.folder, "test386-EE-reference.txt"))
    lines = [line.rstrip() for line in result.out.splitlines()]
    return "pass" if lines == [line.rstrip() for line in reference.splitlines()] else "fail output"
