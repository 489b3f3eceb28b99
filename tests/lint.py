#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What HACKING.md promises and a program can check.

    lint.py BUILD [RULE...]    print each breach as FILE:LINE: what, exit 1

A rule is a function of the table RULES below; it yields (file, line, text).
Rules read the sources alone, but for those that need a built tree: exports and
snippets. tests/test_lint.py runs each rule as a test.
"""
import concurrent.futures
import itertools
import os
import re
import subprocess
import sys

import rfc

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "sdk"))
import manual  # noqa: E402  sdk/manual.py

FUNCTION_LINES, FILE_LINES = 80, 800

# What the files of a folder of core/ may include besides their own folder and
# the SDK: base <- log, loop <- net, bus; mail and conf stand beside them. The
# last group is the program itself, which may use everything.
LOWER = {
    "base": {"base"},
    "log": {"base", "loop"},
    "loop": {"base", "log"},
    "file": {"base", "log", "loop"},
    "net": {"base", "log", "loop"},
    "bus": {"base", "log", "loop"},
    "mail": {"base"},
    "conf": {"base", "log"},
    "module": {"base", "log", "conf"},
}
UPPER = {"session", "pipeline", "queue", "role", "master", "ctl", "main"}
# Static libraries beside the modules, which several of them share.
LIBRARIES = {"smtp_engine", "smtp_client", "mail_index", "router_file", "check_action"}
# Headers of the SDK for which the queue's library has the code it needs: base.
QUEUE_SDK = {"posthouse/base.h", "posthouse/arena.h"}

# Settings of every module, told of in posthouse.conf(5).
COMMON = {"enabled", "module", "order", "on_failure", "mode", "hook_timeout",
          "listen", "listen_tls", "proxy_from", "client_certificate"}

# As the manual shows it; where a build looks depends on its prefix.
DEFAULT_MODULE_DIR = "/usr/local/lib/posthouse"

PRIVATE_EXPORTS = {"posthouse_main", "posthousectl_main",
                   "posthouse_sdk_run"}
VERSIONS = {"POSTHOUSE_1.0", "POSTHOUSE_PRIVATE"}


def sources(*folders, ends=(".c", ".h")):
    """Paths relative to the top, of all files git knows or would add."""
    try:
        out = subprocess.run(
            ["git", "-C", TOP, "ls-files", "-co", "--exclude-standard",
             *folders], capture_output=True, text=True, check=False)
        names = out.stdout.splitlines() if out.returncode == 0 else None
    except FileNotFoundError:
        names = None
    if names is None:  # a source archive, or no git
        names = [os.path.relpath(os.path.join(at, f), TOP)
                 for at, dirs, files in os.walk(TOP) for f in files
                 if not os.path.relpath(at, TOP).startswith(("build", ".git"))]
        names = [n for n in names
                 if not folders or n.startswith(tuple(f + "/" for f in folders))]
    return sorted(n for n in set(names)
                  if n.endswith(ends) and os.path.isfile(os.path.join(TOP, n)))


def text_of(name):
    with open(os.path.join(TOP, name), encoding="utf-8") as f:
        return f.read()


def includes(name):
    """(line, what, is_quoted) of each #include."""
    for number, line in enumerate(text_of(name).splitlines(), 1):
        found = re.match(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', line)
        if found:
            yield number, found[1] or found[2], found[1] is not None


def is_test(name):
    stem = os.path.basename(name).rsplit(".", 1)[0]
    return (stem.endswith(("_test", "_fixture")) or "/tests/" in name
            or stem.startswith(("fake_", "fuzz_", "test_")))


# --- who includes whom ---

def core_directions():
    for name in sources("core"):
        folder = name.split("/")[1]
        if is_test(name) or name.count("/") < 2 or folder in UPPER:
            continue
        if folder not in LOWER:
            yield name, 1, f"tests/lint.py does not know the folder {folder}"
            continue
        for line, what, quoted in includes(name):
            to = what.split("/")[0]
            if quoted and "/" in what and to != folder \
                    and to not in LOWER[folder]:
                yield name, line, f"{folder} must not include {what}"


def module_includes():
    headers = {n.split("/", 1)[1] for n in sources("core", ends=(".h",))}
    for name in sources("modules"):
        folder = os.path.dirname(name)
        if is_test(name):
            continue
        for line, what, quoted in includes(name):
            if what in headers:
                yield name, line, f"{what} is of core/"
                continue
            if not quoted:
                continue
            places = [folder] + ["modules"] + [
                f"modules/{lib}" for lib in LIBRARIES]
            at = next((p for p in places if os.path.isfile(
                os.path.join(TOP, p, what))), None)
            where = os.path.normpath(os.path.join(at or "?", what))
            owner = where.split("/")[1] if where.count("/") > 1 else "?"
            if owner != name.split("/")[1] and owner not in LIBRARIES:
                yield name, line, f"{what} is no file of the module's own"


def queue_includes():
    for name in sources("queue-db"):
        if is_test(name):
            continue
        for line, what, quoted in includes(name):
            own = os.path.isfile(os.path.join(TOP, "queue-db", what))
            if quoted and not own and not what.startswith("base/"):
                yield name, line, f"queue-db must not include {what}"
            if what.startswith("posthouse/") and what not in QUEUE_SDK:
                yield name, line, f"queue-db must not include {what}"


# --- form ---

COMMENTED = {  # ends: the SPDX line, and how a purpose comment looks
    (".c", ".h"): (r"/\* SPDX-License-Identifier: Apache-2\.0 \*/",
                   r"/\*"),
    (".py", ".sh"): (r"# SPDX-License-Identifier: Apache-2\.0",
                     r'# \S|"""'),
    (".1", ".3", ".5", ".7", ".8"): (r'\.\\" SPDX-License-Identifier: Apache-2\.0', None),
    ("CMakeLists.txt", ".cmake"): (
        r"# SPDX-License-Identifier: Apache-2\.0", None),
}


def opening_comments():
    for ends, (spdx, purpose) in COMMENTED.items():
        for name in sources(ends=ends):
            lines = text_of(name).splitlines()
            if lines and lines[0].startswith("#!"):
                lines = lines[1:]
            if not lines or not re.fullmatch(spdx, lines[0]):
                yield name, 1, "does not open with its SPDX line"
            elif purpose and (len(lines) < 2
                              or not re.match(purpose, lines[1])):
                yield name, 2, "does not say what it is for"


def functions(text):
    """(first line, lines between the braces) of each function of a file in
    our form: both braces stand alone in the first column."""
    start = None
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            yield start, number - start - 1
            start = None


def lengths():
    for name in sources():
        text = text_of(name)
        count = text.count("\n")
        if count > FILE_LINES:
            yield name, count, f"has {count} lines, more than {FILE_LINES}"
        for line, length in functions(text):
            if length > FUNCTION_LINES:
                yield (name, line,
                       f"a function of {length} lines, more than "
                       f"{FUNCTION_LINES}")


def unfinished():
    for name in sources(ends=(".c", ".h", ".py", ".sh", ".cmake", ".1", ".5", ".7", ".8",
                              "CMakeLists.txt")):
        for number, line in enumerate(text_of(name).splitlines(), 1):
            if name != "tests/lint.py" and \
                    re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
                yield name, number, "unfinished"


# What asks the machine's DNS, for its own name at least.
ASKS_DNS = re.compile(r"smtplib\.(?:SMTP|SMTP_SSL|LMTP)\(|getfqdn|gethostby|"
                      r"make_msgid\((?!.*domain=)|HTTPServer\(")


def look_ups():
    """Tests ask no DNS but their own: Smtp and SmtpTls are in sandbox.py."""
    for name in sources("tests", ends=(".py",)):
        for number, line in enumerate(text_of(name).splitlines(), 1):
            if name not in ("tests/lint.py", "tests/test_lint.py") and ASKS_DNS.search(line):
                yield name, number, "asks the machine's DNS"


def folder_readmes():
    """Each folder of core/ says why it exists."""
    for folder in sorted({os.path.dirname(n) for n in sources("core")}):
        if not os.path.isfile(os.path.join(TOP, folder, "README.md")):
            yield folder, 1, "has no README.md"


# --- headers ---

def compile_header(job):
    name, command = job
    done = subprocess.run(command, capture_output=True, text=True, cwd=TOP,
                          input=f'#include "{os.path.join(TOP, name)}"\n',
                          check=False)
    said = next((line for line in done.stderr.splitlines()
                 if "error" in line), done.stderr[:200])
    return (name, 1, said) if done.returncode != 0 else None


def headers_alone():
    """Each header by itself, as C; those of the SDK as C++ too."""
    common = ["-D_GNU_SOURCE", "-fsyntax-only", "-Isdk/include", "-Icore",
              "-Imodules", "-Iqueue-db", "-Isdk", "-Itests/support", "-I."]
    jobs = []
    for name in sources("core", "modules", "queue-db", "sdk", ends=(".h",)):
        jobs.append((name, ["gcc", "-std=gnu17", "-x", "c", *common,
                            f"-I{os.path.dirname(name)}", "-"]))
        if name.startswith("sdk/include/"):
            jobs.append((name, ["g++", "-std=c++17", "-x", "c++", *common,
                                "-"]))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield from filter(None, pool.map(compile_header, jobs))


# --- modules, manuals, the library ---

def module_names():
    for name in sources("modules", ends=("CMakeLists.txt",)):
        if re.search(r"^ph_module\(", text_of(name), re.M):
            yield name.split("/")[1]


def snippet_of(module):
    found = [n for n in sources("conf.d", ends=(".conf",))
             if re.fullmatch(rf"conf\.d/\d\d-{module}\.conf", n)]
    return found[0] if found else None


def settings(text):
    """[(option, default, comment)] of a snippet."""
    return [(name, re.sub(r"\[ *(.*?) *\]", r"[\1]", value), said)
            for said, name, value in re.findall(
                r"^\t# (.*)\n\t#?(\w+) = (.*);$", text, re.M)]


def snippets(build):
    """conf.d/ says what the option tables say; the settings that every module
    has are the snippet's own business."""
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
    for module in module_names():
        name = snippet_of(module)
        if name is None:
            yield f"modules/{module}", 1, "has no conf.d/NN-NAME.conf"
            continue
        done = subprocess.run(
            [f"{build}/bin/posthouse", "--describe",
             f"{build}/modules/{module}.so"],
            capture_output=True, text=True, env=env, check=False)
        if done.returncode != 0:
            yield name, 1, f"--describe {module}: {done.stderr.strip()}"
            continue
        told = settings(done.stdout)
        shown = {s[0]: s for s in settings(text_of(name))}
        for option in shown.keys() - {s[0] for s in told}:
            yield name, 1, f"{module} has no option {option}"
        for option, default, said in told:
            if option in COMMON:
                continue
            if option not in shown:
                yield name, 1, f"does not show {option}"
                continue
            if shown[option][1] != default:
                yield name, 1, f"the default of {option} is {default}"
            doc = said.rsplit(" (", 1)[0]
            if not shown[option][2].lower().startswith(doc.lower()):
                yield name, 1, f"says of {option} something else than its doc"


def core_options(build, how):
    """What the program says of its own options. Where modules lie differs from
    build to build; the file and the manual are those of no build."""
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
    said = [subprocess.run([f"{build}/bin/posthouse", option, "core"],
                           capture_output=True, text=True, env=env,
                           check=True).stdout
            for option in ("--describe", how)]
    place = re.search(r'module_dir = "(.*)";', said[0])[1]
    return said[1].replace(place, DEFAULT_MODULE_DIR)


def main_file(build):
    """packaging/posthouse.conf is --describe core, each option turned off."""
    name = "packaging/posthouse.conf"
    wanted = re.sub(r"^(\t*)(\w+ = .*;)$", r"\1#\2",
                    core_options(build, "--describe"), flags=re.M)
    wanted = wanted.split("\n\n", 1)[1].splitlines()
    shown = text_of(name).replace("@PH_MODULE_DIR@", DEFAULT_MODULE_DIR)
    start = shown[:shown.index("\n\n")].count("\n") + 3
    shown = shown.split("\n\n", 1)[1].splitlines()
    for number, (is_there, should) in enumerate(
            itertools.zip_longest(shown, wanted), start):
        if is_there != should:
            yield name, number, f"should be: {should}"
            return


def main_manual(build):
    """posthouse.conf(5) holds the lists of --describe-mdoc core, whole."""
    name = "core/conf/posthouse.conf.5"
    lists = re.findall(r'^\.\\" Options of .*?\n\.El\n',
                       core_options(build, "--describe-mdoc"), re.M | re.S)
    text = text_of(name)
    for wanted in lists:
        title = wanted[:wanted.index("\n") + 1]
        at = text.find(title)
        if at < 0:
            yield name, 1, f"lacks: {title.strip()}"
            continue
        line = text[:at].count("\n")
        for should, is_there in zip(wanted.splitlines(),
                                    text[at:].splitlines()):
            line += 1
            if is_there != should:
                yield name, line, f"should be: {should}"
                break
    if not lists:
        yield name, 1, "--describe-mdoc core prints no list"


def manuals():
    """A manual each, with every option of the snippet and its default."""
    for module in module_names():
        name = f"modules/{module}/{module}.8"
        snippet = snippet_of(module)
        if not os.path.isfile(os.path.join(TOP, name)):
            yield f"modules/{module}", 1, "has no manual"
            continue
        if snippet is None:
            continue
        text = text_of(name)
        for option, default, _ in settings(text_of(snippet)):
            item = re.search(
                rf"^\.It (?:Ic|Cm|Va) {option}\b.*\n(?:(?!\.It |\.El).*\n)*",
                text, re.M)
            if item is None:
                if option not in COMMON:
                    yield name, 1, f"does not tell of {option}"
                continue
            plain = default.strip('"')
            if plain not in ("", "[]") and option not in COMMON \
                    and plain not in item[0].replace("\\&", ""):
                yield name, 1, f"does not tell that {option} is {plain}"


def manual_form():
    names = sources(ends=(".1", ".3", ".5", ".7", ".8"))
    done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", *names],
                          capture_output=True, text=True, cwd=TOP, check=False)
    for line in (done.stdout + done.stderr).splitlines():
        found = re.match(r"mandoc: ([^:]+):(\d+):\d+: (.*)", line)
        # what others of ours ship may not be installed here
        if found and "referenced manual not found" not in line:
            yield found[1], int(found[2]), found[3]


def sdk_manuals():
    """Each function of the SDK has its comment, each header its page, made of
    them, and the guide leads to all."""
    for header in manual.headers():
        for line, function in manual.undocumented(header):
            yield (os.path.relpath(header, TOP), line,
                   f"{function} has no comment of its own")
    guide = text_of("sdk/posthouse-sdk.7")
    pages = manual.pages()
    for path, text in pages.items():
        name = os.path.relpath(path, TOP)
        if not os.path.isfile(path) or text_of(name) != text:
            yield name, 1, "run sdk/manual.py --write"
        if f".It Xr {os.path.basename(path)[:-2]} 3\n" not in guide:
            yield "sdk/posthouse-sdk.7", 1, f"does not list {name}"
    for name in sources("sdk/manual", ends=(".3",)):
        if os.path.join(TOP, name) not in pages:
            yield name, 1, "is of no header"


def exports(build):
    library = f"{build}/core/libposthouse.so"
    done = subprocess.run(["nm", "-D", "--defined-only", library],
                          capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        symbol = line.split()[-1].split("@")[0]
        if not symbol.startswith("ph_") and symbol not in PRIVATE_EXPORTS \
                and symbol not in VERSIONS:
            yield library, 1, f"exports {symbol}"


def module_exports(build):
    """A module exports its descriptor alone."""
    for module in module_names():
        path = f"{build}/modules/{module}.so"
        if not os.path.isfile(path):
            yield path, 1, "is not built"
            continue
        done = subprocess.run(["nm", "-D", "--defined-only", path],
                              capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            symbol = line.split()[-1]
            if symbol != f"{module}_LTX_ph_module" and \
                    not symbol.startswith(("__asan", "__odr_asan", "__ubsan",
                                           "__lsan")):
                yield path, 1, f"exports {symbol}"


def documents():
    """What a document names by its path from the top is there."""
    tops = "core|modules|sdk|queue-db|conf\\.d|tests|packaging"
    for name in sources(ends=(".md",)):
        for line, text in enumerate(text_of(name).splitlines(), 1):
            for path in re.findall(rf"`((?:{tops})/[\w./-]*)`", text):
                if not os.path.exists(os.path.join(TOP, path)) and not \
                        os.path.exists(os.path.join(TOP, "core", path)):
                    yield name, line, f"there is no {path}"


def fuzz_sources():
    """The fuzz targets are built by hand only: what they name must be there."""
    file = "tests/fuzz/CMakeLists.txt"
    text = text_of(file)
    named = set(re.findall(r"\$\{CMAKE_SOURCE_DIR\}/([\w/]+\.c)\b", text))
    for words, folder in re.findall(
            r"set\(\w+ ([\w\s]+)\)\nlist\(TRANSFORM \w+ REPLACE \"\(\.\+\)\"\s+"
            r"\"\$\{CMAKE_SOURCE_DIR\}/([\w/]+)/", text):
        named |= {f"{folder}/{word}.c" for word in words.split()}
    for name in sorted(named):
        if not os.path.exists(os.path.join(TOP, name)):
            yield file, 1, f"{name} is not there"


def standards():
    """tests/rfc.tsv tells the truth, and posthouse(8) tells what it tells."""
    table = "tests/rfc.tsv"
    known = set()
    for row in rfc.rows():
        known.add(row.number)
        if row.held not in ("yes", "partly", "no"):
            yield table, row.line, f"{row.held} is no answer"
        if row.held != "no" and not (row.files and row.tests):
            yield table, row.line, f"RFC {row.number} has no file or no test"
        for name in row.files + row.tests:
            if not os.path.isfile(os.path.join(TOP, name)):
                yield table, row.line, f"there is no {name}"
            elif name in row.files and f"RFC {row.number}" not in text_of(name):
                yield table, row.line, f"{name} does not name RFC {row.number}"
    for name in sources("core", "modules", "queue-db", "sdk"):
        for line, text in enumerate(text_of(name).splitlines(), 1):
            for number in re.findall(r"\bRFC (\d{3,5})\b", text):
                if int(number) not in known:
                    yield name, line, f"{table} has no RFC {number}"
    if not text_of("core/master/posthouse.8").endswith(rfc.manual()):
        yield "core/master/posthouse.8", 1, "run tests/rfc.py --write"


RULES = {rule.__name__: rule for rule in (
    core_directions, module_includes, queue_includes, opening_comments,
    lengths, unfinished, look_ups, folder_readmes, headers_alone, manuals, manual_form,
    sdk_manuals, documents, fuzz_sources, standards, snippets, main_file, main_manual,
    exports, module_exports)}
NEED_BUILD = {"snippets", "main_file", "main_manual", "exports", "module_exports"}


def breaches(rule, build):
    found = RULES[rule](build) if rule in NEED_BUILD else RULES[rule]()
    return [f"{name}:{line}: {text}" for name, line, text in found]


def main():
    build = os.path.abspath(sys.argv[1])
    bad = [b for rule in (sys.argv[2:] or RULES)
           for b in breaches(rule, build)]
    print(*bad, sep="\n", end="\n" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
