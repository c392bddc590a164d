#!/usr/bin/env python3
"""Checks that what the docs name exists: links and their anchors, paths of the tree, make targets, hypura's flags.

Reads README.md, CONTRIBUTING.md, models/README.md and docs/, and the references to docs/ in sources. Prints one line for
each thing that is not there; exits 1 on any. docs/lab/ is a log: of it only the links are checked.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Files that name paths from below src/ ("backend/stream_device.h"), as includes do.
ROOMS = ROOT / "src"
# What a path in backticks may begin with that is not in the tree: made by builds or installing, or llama.cpp's own.
ELSEWHERE = ("build/", "deps/", "bin/", "lib/", "share/", "common/")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
FENCE = re.compile(r"^\s*```.*?^\s*```", re.M | re.S)
# With a folder; or a file's name alone, of a kind that other projects' files are not taken for.
PATH = re.compile(r"[\w.*-]+(?:/[\w.*-]+)+/?|\w+_test\.cpp|[\w-]+\.(?:sh|py|cmake|mjs|supp)")
COMMAND = re.compile(r"\bhypura (run|chat|serve|inspect|devices|profile|repack|bench)\b([^\n#`|]*)")
# Where a command stands: prose and messages say "make" too.
MAKE = re.compile(r"(?:^|&& |; )\s*make ([a-z][a-z-]*)\b", re.M)
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
# Flags of hypura's that every command has.
COMMON = {"--help", "--version"}


def without_fences(text):
    return FENCE.sub(lambda found: "\n" * found.group().count("\n"), text)


def anchors(page):
    """The fragments by which GitHub reaches a page's headings."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", without_fences(page.read_text()), re.M):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-"))
    return found


def link_faults(page, text):
    for target in LINK.findall(without_fences(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            yield f"links to {target}, which is not there"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            yield f"links to {target}, and {file.name} has no such heading"


def tracked():
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    new = subprocess.run(["git", "ls-files", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
                         check=True).stdout.split("\n")
    return {name for name in names + new if name and (ROOT / name).exists()}


def is_there(path, files, tops):
    """Whether a path is in the tree. One whose first folder is none of the tree's is taken to be of something else,
    unless it names a source."""
    if path.startswith(ELSEWHERE):
        return True
    bare = path.rstrip("/")
    if "/" not in bare:
        return any(name.rsplit("/", 1)[-1] == bare for name in files)
    if bare.split("/")[0] not in tops and not bare.endswith((".h", ".cpp")):
        return True
    for start in ("", "src/", "include/"):
        if "*" in bare or any(part.isupper() for part in re.split(r"[/_.]", bare)):
            if (ROOT / (start + bare)).parent.is_dir():
                return True
        elif (ROOT / (start + bare)).exists():
            return True
    return False


def path_faults(text, files, tops):
    for code in CODE.findall(without_fences(text)):
        words = code.split()
        if len(words) != 1 or words[0].startswith(("/", "~", "$", "-", "http", ".../", "…")):
            continue
        found = PATH.fullmatch(words[0])
        if found and not is_there(words[0], files, tops):
            yield f"names `{code}`, which is not in the tree"


def make_targets():
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))


def flags():
    """All flags that the command line's sources add."""
    text = "".join(path.read_text() for path in (ROOT / "src/cli").rglob("*options*.cpp") if "_test" not in path.name)
    return COMMON | set(FLAG.findall(" ".join(re.findall(r'"([^"\n]*)"', text))))


def command_faults(text, targets, known):
    code = "\n".join(CODE.findall(without_fences(text)) + FENCE.findall(text))
    for target in sorted(set(MAKE.findall(code)) - targets):
        yield f"names `make {target}`, which the Makefile has not"
    for command, rest in COMMAND.findall(code):
        for flag in FLAG.findall(rest.split(" make ")[0]):
            if flag not in known:
                yield f"names `hypura {command} {flag}`, and there is no such flag"
    # A table of the reference names flags alone.
    for row in re.findall(r"^\| (`-[^|]*)\|", text, re.M):
        for flag in FLAG.findall(row):
            if flag not in known and "hypura-bench" not in text:
                yield f"lists the flag {flag}, which there is not"


def source_faults(files):
    for name in sorted(files):
        if name.startswith(("docs/", "deps/", "models/")) or name.endswith((".md", ".gguf", ".png")):
            continue
        try:
            text = (ROOT / name).read_text()
        except UnicodeDecodeError:
            continue
        for path in re.findall(r"\bdocs/[\w/.-]+\.md\b", text):
            if not (ROOT / path).exists():
                yield f"{name}: names {path}, which is not there"


def main():
    files = tracked()
    tops = {name.split("/")[0] for name in files if "/" in name} | {path.name for path in ROOMS.iterdir()} | {"hypura"}
    targets = make_targets()
    known = flags()
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "models/README.md")]
    pages += sorted((ROOT / "docs").rglob("*.md"))
    faults = list(source_faults(files))
    for page in pages:
        text = page.read_text()
        found = list(link_faults(page, text))
        if "lab" not in page.parts or page.name == "method.md":
            found += path_faults(text, files, tops)
            found += command_faults(text, targets, known)
        faults += [f"{page.relative_to(ROOT)}: {fault}" for fault in found]
    print("\n".join(faults) if faults else f"what {len(pages)} pages name is there")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
