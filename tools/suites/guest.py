"""Run programs of this machine in a small Linux guest, and collect what they say.

A program is packed into an initial RAM disk with everything it needs, at the
same absolute paths as here, so that one command line means the same in the
guest and on this machine ("native" as the name of an emulator). The kernel and
the rest of the RAM disk are those of tools/guest-linux.

Each job's exit status, standard output and standard error come over the serial
port between marker lines, compressed and in base64. If the guest dies or stops
in the middle of a job, the job gets that as its result and the guest is started
again for those behind it.
"""
import base64
import gzip
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

TOOLS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MARK = "@@suite"
OUTPUT_LIMIT = 8000000  # bytes of a program's output that are looked at
START_LIMIT = 300       # seconds until the guest begins its first job
KERNEL = "console=ttyS0 quiet loglevel=1 panic=-1 vsyscall=emulate"
GUEST_SCRIPT = r"""
job() # number, seconds, folder, command
{
	echo "@@suite begin $1"
	begin=$(cut -d. -f1 /proc/uptime)
	( cd "$3" && exec timeout -s KILL "$2" sh -c "$4" ) >/tmp/.out 2>/tmp/.err </dev/null
	status=$?
	echo "@@suite status $1 $status $(($(cut -d. -f1 /proc/uptime) - begin))"
	head -c @LIMIT@ /tmp/.out | gzip -1 | base64
	echo "@@suite stderr $1"
	head -c @LIMIT@ /tmp/.err | gzip -1 | base64
	echo "@@suite end $1"
}
ip link set lo up
mkdir -p /etc
echo root:x:0:0:root:/:/bin/sh >/etc/passwd
echo 127.0.0.1 localhost >/etc/hosts
mkdir -p /dev/shm /dev/pts
mount -t devpts devpts /dev/pts
"""


class SuiteError(Exception):
    """Something the user can put right: the message says what."""


@dataclass
class Job:
    name: str
    command: str                # for sh
    folder: str                 # where it runs
    timeout: int = 60           # seconds
    info: dict = field(default_factory=dict)    # the suite's own


@dataclass
class Result:
    status: object              # exit status, or a word for what kept it from having one
    out: bytes = b""
    err: bytes = b""
    stable: bool = True         # this machine gives the same output each time,
    steady: bool = True         # the same status


def need(program, package):
    if not shutil.which(program):
        raise SuiteError("%s is missing (Debian package: %s)" % (program, package))


def compile_c(source, output, options):
    """A static program, made again if the source folder has something newer."""
    folder = os.path.dirname(source)
    newest = max(os.path.getmtime(os.path.join(folder, f)) for f in os.listdir(folder))
    if os.path.exists(output) and os.path.getmtime(output) > newest:
        return
    need("cc", "gcc")
    done = subprocess.run(["cc", "-O2", "-static", *options, "-o", output, source],
                          stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SuiteError("cannot compile %s %s (Debian packages: gcc-multilib, libc6-dev-i386 for -m32):\n%s"
                         % (source, " ".join(options), done.stderr[-2000:]))


# ---- the RAM disk ----

def libraries(program):
    """Paths of the shared libraries and the loader of a program."""
    done = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return re.findall(r"(/\S+) \(0x", done.stdout)


def is_elf(path):
    with open(path, "rb") as f:
        return f.read(4) == b"\x7fELF"


def add_path(entries, path):
    """Adds a file and the folders and links on the way to it; `entries` keeps their order."""
    at = "/"
    parts = [p for p in path.split("/") if p]
    while parts:
        at = os.path.join(at, parts.pop(0))
        entries[at] = True
        if os.path.islink(at):
            target = os.path.join(os.path.dirname(at), os.readlink(at))
            return add_path(entries, os.path.normpath(os.path.join(target, *parts)))
    return None


def pack(paths, output):
    """Makes a compressed archive of files, of folders with all that is in them, and of needed libraries."""
    need("cpio", "cpio")
    entries = {}
    files = []
    for path in paths:
        if os.path.isdir(path):
            add_path(entries, path)
            for folder, _, names in os.walk(path):
                files += [os.path.join(folder, n) for n in names]
        else:
            files.append(path)
    for path in files:
        add_path(entries, path)
        if os.access(path, os.X_OK) and os.path.isfile(path) and is_elf(path):
            for library in libraries(path):
                add_path(entries, library)
    names = "\0".join(e.lstrip("/") for e in entries)
    with open(output, "wb") as f:
        cpio = subprocess.Popen(["cpio", "-o0", "-H", "newc", "-R", "0:0", "--quiet"], cwd="/",
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        squeeze = subprocess.Popen(["gzip", "-1"], stdin=cpio.stdout, stdout=f)
        cpio.stdin.write(names.encode())
        cpio.stdin.close()
        if cpio.wait() or squeeze.wait():
            raise SuiteError("cannot pack the programs into %s" % output)


def prepare(work):
    """Kernel and basic RAM disk, by tools/guest-linux, which starts something harmless in place of an emulator."""
    done = subprocess.run([os.path.join(TOOLS, "guest-linux"), shutil.which("true"), work],
                          stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SuiteError(done.stderr.strip())


# ---- running ----

def write_script(jobs, first, work):
    folder = os.path.join(work, "jobs")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "script"), "w") as f:
        f.write(GUEST_SCRIPT.replace("@LIMIT@", str(OUTPUT_LIMIT)))
        for i in range(first, len(jobs)):
            j = jobs[i]
            f.write("job %d %d %s %s\n" % (i, j.timeout, shlex.quote(j.folder), shlex.quote(j.command)))
        f.write("echo '%s done'\n" % MARK)
    archive = subprocess.run("echo script | cpio -o -H newc -R 0:0 --quiet | gzip -1", shell=True, cwd=folder,
                             stdout=subprocess.PIPE, check=True).stdout
    with open(os.path.join(work, "suite-initrd.gz"), "wb") as out:
        for part in ("initrd.gz", "programs.gz"):
            with open(os.path.join(work, part), "rb") as f:
                shutil.copyfileobj(f, out)
        out.write(archive)
    return out.name


def unpack(lines):
    try:
        return gzip.decompress(base64.b64decode(b"".join(lines)))
    except (ValueError, OSError, EOFError):
        return b"(what came over the serial port could not be decoded)"


class Collector:
    """Takes the lines of the serial port and makes results of them."""

    def __init__(self, jobs, results, say):
        self.jobs, self.results, self.say = jobs, results, say
        self.running = None     # number of the job that has begun
        self.limit = START_LIMIT
        self.done = False
        self.lines = []

    def line(self, line):
        if not line.startswith(MARK.encode()):
            self.lines.append(line)
            return
        what, *rest = line.decode(errors="replace").split()[1:]
        if what == "begin":
            self.running = int(rest[0])
            self.limit = 3 * self.jobs[self.running].timeout + 60
            self.say(self.running, self.jobs[self.running].name)
        elif what == "status":
            status, seconds = int(rest[1]), int(rest[2])
            killed = status == 128 + signal.SIGKILL and seconds + 1 >= self.jobs[self.running].timeout
            self.result = Result("timeout" if killed else status)
        elif what == "stderr":
            self.result.out = unpack(self.lines)
        elif what == "end":
            self.result.err = unpack(self.lines)
            self.results[self.running] = self.result
            self.running = None
            self.limit = 120
        self.done = what == "done"
        self.lines = []


def boot(emulator, work, initrd, collector, log):
    """Runs one guest until it is done, dies or stands still. Returns why it ended without being done, or None."""
    command = shlex.split(emulator) + [
        "-m", "1024", "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot",
        "-kernel", os.path.join(work, "vmlinuz"), "-initrd", initrd, "-append", KERNEL]
    try:
        p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    except OSError as e:
        raise SuiteError("cannot start %s: %s" % (command[0], e.strerror)) from e
    wait = selectors.DefaultSelector()
    wait.register(p.stdout, selectors.EVENT_READ)
    rest, why = b"", None
    while not collector.done:
        if not wait.select(collector.limit):
            why = "hang"
            break
        data = os.read(p.stdout.fileno(), 65536)
        if not data:
            break
        log.write(data)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            collector.line(line.strip(b"\r"))
    if collector.done or why:
        p.kill()
    status = p.wait()
    log.flush()
    if collector.done or why:
        return why
    return "crash " + signal.Signals(-status).name if status < 0 else "reset"


def run_in_guest(emulator, jobs, work, log_path, say):
    results = [None] * len(jobs)
    first = began = 0
    with open(log_path, "wb", buffering=0) as log:
        while first < len(jobs):
            collector = Collector(jobs, results, say)
            why = boot(emulator, work, write_script(jobs, first, work), collector, log)
            if why is None:
                break
            began = collector.running
            if began is None:
                began = next(i for i in range(first, len(jobs)) if results[i] is None)
                if began == first:
                    raise SuiteError("%s: the guest does not start (%s); see %s" % (emulator, why, log_path))
            results[began] = Result(why)
            first = began + 1
    return results


def run_native(jobs, say):
    results = []
    for i, j in enumerate(jobs):
        say(i, j.name)
        p = subprocess.Popen(["sh", "-c", j.command], cwd=j.folder, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, err = p.communicate(timeout=j.timeout)
            status = p.returncode if p.returncode >= 0 else 128 - p.returncode
            results.append(Result(status, out[:OUTPUT_LIMIT], err[:OUTPUT_LIMIT]))
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out, err = p.communicate()
            results.append(Result("timeout", out, err))
    return results


def reference(jobs, work):
    """What this machine gives. Two runs tell what depends on addresses, time and the like."""
    first, second = (run("native", jobs, work, None) for _ in range(2))
    for a, b in zip(first, second):
        a.stable, a.steady = a.out == b.out, a.status == b.status
    return first


def run(emulator, jobs, work, log_path, boot_suite=None):
    """
    The results of all jobs on one emulator, or on this machine if its name is "native".
    A suite that needs no Linux guest brings its own function for it.
    """
    begin = time.monotonic()

    def say(i, name):
        if sys.stderr.isatty():
            print("\r\033[K%s: %d/%d %s" % (emulator.split()[0], i + 1, len(jobs), name), end="",
                  file=sys.stderr, flush=True)

    if boot_suite:
        results = boot_suite(emulator, jobs, log_path, say)
    elif emulator == "native":
        results = run_native(jobs, say)
    else:
        results = run_in_guest(emulator, jobs, work, log_path, say)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    print("%s: %d programs, %d s" % (emulator, len(jobs), time.monotonic() - begin), file=sys.stderr, flush=True)
    return results
