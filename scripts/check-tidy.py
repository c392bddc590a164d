#!/usr/bin/env python3
"""clang-tidy over every source of ours that a build folder compiles: check-tidy.py [BUILD [FILE...]]

BUILD is build/release by default, and must be built. Left out are the tests: they are half of the sources, and the
compiler's warnings and the sanitizers see them. With FILEs, only the units that hold one of them. The build's units are
checked as they are compiled, several sources in one: each of them alone would take eight times as long.

A unit that passed is skipped, in any clone, until one of its sources, a header of ours that it includes, its flags,
.clang-tidy or clang-tidy itself changes: the user's cache folder remembers it.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = ("src/", "include/", "tools/", "bench/")
FORGET_AFTER = 60 * 24 * 3600  # seconds without use


def relative(path):
    return os.path.relpath(path, ROOT)


def headers_of(build):
    """Maps each object file to the headers of ours that it was compiled from, as ninja noted them."""
    found = {}
    output = subprocess.run(["ninja", "-C", build, "-t", "deps"], capture_output=True, text=True, check=True).stdout
    for block in output.split("\n\n"):
        name, *files = block.splitlines() or [""]
        names = [relative(Path(build, file.strip())) for file in files]
        found[name.partition(":")[0]] = sorted({file for file in names if file.startswith(OURS)})
    return found


def units_of(build, wanted):
    """The units to check: the file, the sources it holds, the headers of ours, its command."""
    headers = headers_of(build)
    for entry in json.loads(Path(build, "compile_commands.json").read_text()):
        unit = entry["file"]
        held = re.findall(r'#include "(/.*)"', Path(unit).read_text()) if "/Unity/" in unit else [unit]
        sources = [relative(path) for path in held]
        if not all(path.startswith(OURS) and not path.endswith("_test.cpp") for path in sources):
            continue
        if wanted and not wanted & set(sources):
            continue
        compiled = re.search(r" -o (\S+)", entry["command"]).group(1)
        yield unit, sources, headers.get(compiled), entry["command"]


def stamp_of(base, sources, headers, command):
    verdict = hashlib.sha256(base)
    verdict.update(command.replace(str(ROOT), ".").encode())
    for name in sorted({*sources, *headers}):
        verdict.update(name.encode() + b"\0" + Path(name).read_bytes())
    return verdict.hexdigest()[:32]


def main():
    os.chdir(ROOT)
    build = sys.argv[1] if len(sys.argv) > 1 else "build/release"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "hypura-build", "tidy")
    cache.mkdir(parents=True, exist_ok=True)
    for stamp in cache.iterdir():
        if stamp.stat().st_mtime < time.time() - FORGET_AFTER:
            stamp.unlink()
    base = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout
    base += Path(".clang-tidy").read_bytes()

    def check(unit, sources, headers, command):
        """The findings; empty when there are none."""
        if headers is None:
            return f"{unit} is not built: run make build first"
        stamp = cache / stamp_of(base, sources, headers, command)
        if stamp.exists():
            stamp.touch()
            return ""
        run = subprocess.run(["clang-tidy", "-p", build, "--quiet", unit], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True, check=False)
        if run.returncode == 0:
            stamp.touch()
            return ""
        return f"clang-tidy of {' '.join(sources)}\n{run.stdout}"

    units = list(units_of(build, set(map(relative, sys.argv[2:]))))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [text for text in pool.map(lambda unit: check(*unit), units) if text]
    print("\n".join(found) if found else f"clang-tidy has nothing to say on {len(units)} units")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
