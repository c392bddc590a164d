#!/usr/bin/env python3
"""Enforces the house's rules on includes, file length and the names of types.

A room is a folder src/NAME. CMakeLists.txt lists the rooms from the ground up with what each links; a room may include
its own headers and those of the rooms it links, directly or not. Prints one line a violation; exits 1 on any.

Two types of one name in one namespace are no error to compiler or linker, which then uses one's destructor for both.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 500

# Who may include what from outside. A header that matches no line is free for all rooms but the policy rooms, which
# have only the standard library: they are pure functions over plain structs.
SEAMS = [
    (r"ggml(-backend)?-impl\.h|transport\.h", {"backend"}),
    (r"ggml.*\.h|gguf\.h", {"model", "backend", "llama"}),
    (r"(llama|llama-.*|log)\.h", {"llama"}),
    (r"(common|chat|chat-.*|sampling|speculative|json-schema-to-grammar)\.h", {"templates", "output", "chat"}),
    (r"jinja/.*\.h", {"templates"}),
    (r"liburing\.h", {"storage"}),
    (r"histedit\.h|editline/.*|CLI/.*", {"cli"}),
    (r"spdlog/.*", {"support"}),
    (r"boost/.*", {"server"}),
    (r"curl/.*|openssl/.*|CommonCrypto/.*", {"store"}),
    (r"(Clp|Coin).*\.h(pp)?", {"placement"}),
]
POLICY_ROOMS = {"residency", "placement"}
# llama.h also comes in with its chat library. Of what it declares the rooms above llama/ hand on two pointers.
LLAMA_NAME = re.compile(r"\b(?!llama_(?:model|context)\b)(?:llama_\w+|LLAMA_\w+)")
SYSTEM_HEADER = re.compile(r"(sys|linux|mach|mach-o|net|netinet|arpa|dispatch)/.*|.*_np\.h"
                           r"|(unistd|fcntl|pthread|sched|dirent|signal|dlfcn|poll|spawn|stdlib|stdio)\.h")


def rooms_from_cmake():
    """Maps each room to the set of rooms it may include, itself among them."""
    text = (ROOT / "CMakeLists.txt").read_text()
    allowed = {}
    for name, rest in re.findall(r"^hypura_room\((\w+)([^)]*)\)", text, re.M):
        allowed[name] = {name}
        links = rest.partition("TESTS_DEPEND")[0]  # tests may link tools besides
        for dependency in re.findall(r"hypura::(\w+)", links):
            if dependency not in allowed:
                sys.exit(f"CMakeLists.txt: room {name} links {dependency}, which is not above it in the list.")
            allowed[name] |= allowed[dependency]
    return allowed


def owner_of(header, rooms):
    """The room that an include of ours belongs to; hypura/NAME.h is room NAME's public header, or support's."""
    folder, _, rest = header.partition("/")
    if folder == "hypura":
        stem = Path(rest).stem
        return stem if stem in rooms else "support"
    return folder if folder in rooms else None


def violations(path, room, rooms):
    is_test = path.name.endswith(("_test.cpp", "_for_test.h"))
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if not match:
            # What stands in quotes, a variable of the environment for one, is no name of llama.h.
            name = LLAMA_NAME.search(re.sub(r'"[^"]*"', '""', line).partition("//")[0])
            if name and room != "llama" and not is_test:
                yield number, f"{room} may not use {name.group()}: only llama/ may"
            continue
        header = match.group(1)
        owner = owner_of(header, rooms)
        if owner and owner not in rooms[room]:
            yield number, f"{room} may not include {header}: CMakeLists.txt lets it use {', '.join(sorted(rooms[room]))}"
        if owner:
            continue
        if header.startswith(("make_model/", "tools/")) and not is_test:
            yield number, f"{header} is for tests only"
        for pattern, users in SEAMS:
            # Tests may look behind a seam to check it, save in the policy rooms.
            if re.fullmatch(pattern, header) and room not in users and (not is_test or room in POLICY_ROOMS):
                yield number, f"{room} may not include {header}: only {', '.join(sorted(users))} may"
        if room in POLICY_ROOMS and SYSTEM_HEADER.fullmatch(header):
            yield number, f"{room} is pure policy and may not include the system header {header}"


def public_violations(path):
    """Public headers: what an outside program includes, which has only the standard library and tl::expected."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if match and not re.fullmatch(r"hypura/\w+\.h|tl/expected\.hpp|[a-z_]+", match.group(1)):
            yield number, f"public headers may not include {match.group(1)}"


def types_in(text):
    """Full names of the types defined at the outermost level of their namespace; unnamed namespaces are private."""
    namespaces = []
    for line in text.splitlines():
        opened = re.match(r"namespace ([\w:]*) ?\{", line)
        if opened:
            namespaces.append(opened.group(1) or "unnamed")
        elif line.startswith("}  // namespace") and namespaces:
            namespaces.pop()
        elif "unnamed" not in namespaces:
            # A declaration alone ends in a semicolon on the same line; a member class has the outer one's name in front.
            defined = re.match(r"(?:struct|class) (\w+)(?! *\w*::)[^;]*\{", line)
            if defined:
                yield "::".join([*namespaces, defined.group(1)])


def types_defined_twice(sources):
    files = {}
    for path in sources:
        name = path.relative_to(ROOT)
        for type_name in types_in(path.read_text()):
            if name not in files.setdefault(type_name, []):
                files[type_name].append(name)
    return [f"{name} is defined in {' and in '.join(map(str, where))}: give one another name"
            for name, where in files.items() if len(where) > 1]


def main():
    rooms = rooms_from_cmake()
    found = []
    sources = [p for top in ("src", "include", "tools", "bench", "tests/fuzz") for p in sorted((ROOT / top).rglob("*"))
               if p.suffix in (".cpp", ".h")]
    for path in sources:
        name = path.relative_to(ROOT)
        lines = path.read_text().count("\n")
        if lines > MAX_LINES:
            found.append(f"{name}: {lines} lines; {MAX_LINES} is the most")
        if name.parts[0] == "include":
            found += [f"{name}:{number}: {what}" for number, what in public_violations(path)]
        if name.parts[0] != "src":
            continue
        room = name.parts[1]
        if room not in rooms:
            found.append(f"{name}: CMakeLists.txt has no room {room}")
            continue
        found += [f"{name}:{number}: {what}" for number, what in violations(path, room, rooms)]
    found += types_defined_twice([p for p in sources if not p.name.endswith("_test.cpp")])
    print("\n".join(found) if found else f"imports and lengths of {len(sources)} files are as they should be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
