"""Berkeley TestFloat: testfloat_gen and testfloat_ver around fpops, all of them in the guest."""
import os
import re
import subprocess

from .guest import Job, SuiteError, compile_c

HERE = os.path.dirname(os.path.abspath(__file__))
NATIVE = False
WIDTHS = {"64": [], "32": ["-m32", "-msse2"]}


def options(parser):
    parser.add_argument("--level", choices=["1", "2"], default="1", help="TestFloat's level of testing [1]")
    parser.add_argument("--width", choices=list(WIDTHS), action="append",
                        help="fpops as a 64 or 32-bit program [both]")


def find(checkout, name):
    for folder, _, names in os.walk(checkout):
        if name in names and os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    raise SuiteError("no program %s below %s: is TestFloat built there?" % (name, checkout))


def command(gen, ver, fpops, row, rounding, precision, level):
    function, group, kind, number, told = row
    number = "" if kind[0] == "i" or kind == "f16" else number
    mode = "" if rounding == "fixed" else "-r" + rounding
    return ("%s -level %s %s %s 2>/dev/null | %s %s %s %s %s 2>/tmp/.forms | "
            "%s %s %s -precision%s %s 2>&1 | tr '\\r' '\\n' | grep -v '^ *[0-9]*00$'; sort /tmp/.forms | uniq -c"
            % (gen, level, kind, number, fpops, function, group, rounding, precision,
               ver, told, mode, precision, function))


def jobs(o):
    """One for each function, group of instructions, rounding mode, precision and width."""
    gen, ver = find(o.checkout, "testfloat_gen"), find(o.checkout, "testfloat_ver")
    made, paths = [], [gen, ver]
    for width in o.width or WIDTHS:
        fpops = os.path.join(o.work, "fpops" + width)
        compile_c(os.path.join(HERE, "fpops.c"), fpops, WIDTHS[width])
        paths.append(fpops)
        for line in subprocess.run([fpops, "-list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")[:-1]:
            *row, roundings, precisions = line.split(";")
            for rounding in roundings.split():
                for precision in precisions.split():
                    name = "%s-%s-%s-%s-%s" % (width, row[0], row[1], rounding, precision)
                    made.append(Job(name, command(gen, ver, fpops, row, rounding, precision, o.level), "/tmp",
                                    o.timeout * (20 if row[3] == "3" or o.level == "2" else 1)))
    return made, paths


def judge(job, result, _):
    if not isinstance(result.status, int):
        return result.status
    text = result.out.decode(errors="replace")
    if re.search(r"In \d+ tests, no errors found", text):
        return "pass"
    found = re.search(r"(\d+) tests performed; (\d+) errors? found", text)
    return "fail %s/%s" % (found.group(2), found.group(1)) if found else "fail (no summary)"
