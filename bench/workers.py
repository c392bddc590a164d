#!/usr/bin/env python3
"""workers.py exact [KIND...] | speed MODEL --memory SIZE --disk MBPS | splits MODEL --memory SIZE --worker-memory SIZE:
what workers give, on one machine.

`exact`: a small model of each kind of experts that hypura-make-model knows, and the demo model; one to three workers with
the fewest slots and with room for all. Tokens and log-probabilities of eight answers, one after the other, must be those
of one machine, and each worker must have computed some rows. Of the models that are made the bytes sent and received
must be those of the protocol's formula. Then eight at once, of which no equality is asked: which passes they share
depends on time, on one machine too. That their logits are right is for src/generate/engine/workers_test.cpp to show.

`speed`: tokens/s of an answer alone and with --workers workers, in turn, each machine with the same memory and a disk of so
many MB/s, behind relays of --rtt ms and --gbit Gbit/s. The first --skip tokens of an answer are left out: they fill the
memories, since all machines start anew for each answer. Each has a profile, measured with such a disk. `predicted` is what
the plan says by that; `predicted_again` what it says where such an answer was made before (run history: what its tokens
chose, and a calibration factor).

`splits`: an answer with --workers workers of that memory that compute experts, and whole layers, in turn, behind such
relays, and alone: tokens/s behind the first --skip, and seconds until the first token of a prompt of --prompt tokens, of
the second such answer, which finds in memory what stays there. All without repacking, since the texts must be equal.
Predictions are as of `speed`; `chosen` is what --split auto says by the profile alone.

Prints one JSON object; the exit status is 1 where something was not equal.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from served_model import ServedModel, numbers
from worker_machines import Worker, program, slow_disk

PORT = 8474
WIDTH, EXPERTS, LAYERS = 256, 32, 4  # of the models that are made
with open("src/remote/protocol.h") as protocol:
    MOST_PAIRS = int(re.search(r"kMostPairs = (\d+)", protocol.read()).group(1))
KINDS = {
    "mixtral": ["--arch", "mixtral", "--type", "Q4_0"],
    "qwen2moe": ["--arch", "qwen2moe", "--type", "Q8_0"],
    "qwen3moe": ["--arch", "qwen3moe", "--type", "Q4_0"],
    "gpt-oss": ["--arch", "gpt-oss", "--type", "MXFP4_MOE"],
    "fused": ["--arch", "fused", "--type", "Q4_K"],
    "deepseek2": ["--arch", "deepseek2", "--type", "Q8_0"],
    "glm4moe": ["--arch", "glm4moe", "--type", "F16"],
    "qwen3next": ["--arch", "qwen3next", "--type", "Q4_0"],
    "stories": None,
}
STORIES = "models/hypura-stories-moe.gguf"


class Server(ServedModel):
    """Beside `workers`. What is measured of it is in counters()."""

    split = "experts"  # all are asked, though with models so small none pays

    def __init__(self, model, memory, folder, workers, flags=(), disk=0, profile=None):
        self.folder = tempfile.mkdtemp(dir=folder)
        if profile:
            shutil.copytree(profile, self.folder, dirs_exist_ok=True)
        self.workers = workers
        words = ["--memory", memory, "--context", "1024", "--kv-disk", "0", "--gpu", "none", "--threads", "1",
                 *(["--split", self.split] if workers else []), *flags]
        for it in workers:
            words += ["--worker", it.address]
        super().__init__(program("hypura"), model, self.folder, PORT, words, slow_disk(disk))

    def ask(self, seed, answers=1, prompt=8):
        """So many answers to one prompt of so many tokens, which are computed together."""
        body = {"model": self.model, "prompt": numbers(seed, prompt), "max_tokens": 24, "temperature": 0.8,
                "logprobs": 1, "seed": 7, "n": answers}
        status, text = self.call("POST", "/v1/completions", body)
        if status != 200:
            raise SystemExit(text)
        return [[it["text"], it["logprobs"]] for it in json.loads(text)["choices"]]

    def counters(self, worker):
        lines = [it for it in self.metrics().splitlines() if f'worker="{worker.address}"' in it]
        return {it.split("{")[0].removeprefix("hypura_worker_").removesuffix("_total"): float(it.split()[-1])
                for it in lines}


def least_memory(words):
    """In bytes, as the program itself says it of too little."""
    said = subprocess.run([*words, "--memory", "64K"], capture_output=True, text=True, check=False).stderr
    for before in ("the smallest budget is about ", "it takes "):
        if before in said:
            number, unit = said.split(before)[1].split()[:2]
            return float(number) * {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit.rstrip(":.,")]
    raise SystemExit(said)


def mib(size):
    return f"{int(size / (1 << 20)) + 1}M"


def wire_errors(before, after):
    """What was sent and received between the two for asks of one token each is not what remote/protocol.h says. With the
    prompt's token, some asks but the last layer's say what the next ask will want: experts of 4 bytes."""
    moved = {name: after[name] - before[name] for name in after}
    if not moved["asks"]:
        return []
    tensor = 296  # RpcTensor; 9 bytes before each of three requests
    ask = 27 + (tensor + 9) + 4 + (tensor + 16) + 16 + 4 * WIDTH
    ahead = 9 + (tensor + 9)
    pairs = [MOST_PAIRS >> i for i in range(16) if MOST_PAIRS >> i > 0]  # a worker with little memory takes fewer
    sent = [moved["sent_bytes"] - (ask + 8 * it) * moved["asks"] for it in pairs]
    errors = []
    if not any(it - 4 * experts == ahead * says for it in sent for says in range(LAYERS)
               for experts in range(says, says * EXPERTS + 1)):
        errors.append(f"sent_bytes: {moved['sent_bytes']:.0f} in {moved['asks']:.0f} asks")
    received = (8 + 64 + (EXPERTS + 63) // 64 * 8) * moved["asks"] + 4 * WIDTH * moved["rows"]
    if moved["received_bytes"] != received:
        errors.append(f"received_bytes: {moved['received_bytes']:.0f}, not {received:.0f}")
    return errors


def exact(kind, folder):
    model = STORIES
    if KINDS[kind] is not None:
        model = os.path.join(folder, f"{kind}.gguf")
        subprocess.run([program("hypura-make-model"), model, *KINDS[kind], "--embedding", str(WIDTH), "--experts",
                        str(EXPERTS), "--layers", str(LAYERS), "--expert-ff", "512", "--skew", "0.7"], check=True, stdout=subprocess.DEVNULL)
    one, many = ["--parallel", "1"], ["--parallel", "8"]
    # Slots for some experts more than the fewest; with eight sequences their keys too.
    nobody = [word for i in (1, 2, 3) for word in ("--worker", f"127.0.0.1:{52990 + i}")]  # their messages take memory
    least = least_memory([program("hypura"), "run", model, "-p", "a", "--gpu", "none", "--context", "1024", *nobody])
    few = mib(least + os.path.getsize(model) * 0.2)
    half = mib(least + os.path.getsize(model) * 0.5)
    few_there = mib(least_memory([program("hypura"), "worker", model, "--listen", "127.0.0.1:52999"]))
    seeds = list(range(8))
    with Server(model, few, folder, [], one) as alone:
        expected = [alone.ask(it) for it in seeds]
    result = {"memory": few, "cases": []}
    for count, there in ((1, few_there), (2, "1G"), (3, few_there)):
        workers = []
        try:
            for i in range(count):
                workers.append(Worker(model, i + 1, there, tempfile.mkdtemp(dir=folder)))
            case = {"workers": count, "memory_there": there}
            with Server(model, few, folder, workers, one) as server:
                case["different"] = sum(server.ask(it) != right for it, right in zip(seeds, expected))
                before = [server.counters(it) for it in workers]
                server.ask("wire", prompt=1)
                after = [server.counters(it) for it in workers]
            case["rows"] = [it["rows"] for it in after]
            case["wire"] = []
            if KINDS[kind] is not None:
                case["wire"] = [error for a, b in zip(after, before) for error in wire_errors(b, a)]
                case["asks_on_the_wire"] = sum(a["asks"] - b["asks"] for a, b in zip(after, before))
            with Server(model, half, folder, workers, many) as server:
                server.ask("eight", 8)
                case["rows_of_eight"] = [server.counters(it)["rows"] for it in workers]
        finally:
            for it in workers:
                it.close()
        case["right"] = not (case["different"] or case["wire"]) and all(case["rows"] + case["rows_of_eight"])
        result["cases"].append(case)
        print(kind, json.dumps(case), file=sys.stderr)
    if KINDS[kind] is not None:
        os.remove(model)
    return result


class Timed(Server):
    split = "auto"

    def rate(self, seed, skip, tokens, prompt=8):
        """Tokens/s behind the first `skip`, and the text; in first_token the seconds until there was one."""
        body = {"model": self.model, "prompt": numbers(seed, prompt), "max_tokens": skip + tokens, "temperature": 0,
                "stream": True, "ignore_eos": True}
        times, text = [], ""
        start = time.monotonic()
        for line in self.request("POST", "/v1/completions", body):
            if line.startswith(b"data: {"):
                choices = json.loads(line[6:]).get("choices")
                if choices and choices[0]["finish_reason"] is None:
                    times.append(time.monotonic())
                    text += choices[0]["text"]
        self.first_token = times[0] - start
        return (len(times) - 1 - skip) / (times[-1] - times[skip]), text


def predictions(options, workers, caches):
    """Tokens/s that the plan expects with none of the workers, with the first, and so on, by that cache folder of each."""
    rates = []
    for count in range(len(workers) + 1):
        words = [program("hypura"), "inspect", options.model, "--memory", options.memory, "--gpu", "none", "--context",
                 "1024", "--threads", "1", "--json"]
        for it in workers[:count]:
            words += ["--worker", it.address]
        said = subprocess.run(words, capture_output=True, text=True, check=True,
                              env=dict(os.environ, XDG_CACHE_HOME=caches[count])).stdout
        rates.append(json.loads(said)["plan"]["predicted"]["tokens_per_second"])
    return rates


def said_of_plan(options, workers, split, cache):
    """By that cache folder, without repacking."""
    words = [program("hypura"), "run", options.model, "-p", "a", "--max-tokens", "1", "--memory", options.memory, "--gpu",
             "none", "--context", "1024", "--threads", "1", "--no-repack", *(["--split", split] if workers else [])]
    for it in workers:
        words += ["--worker", it.address]
    with tempfile.TemporaryDirectory() as copy:  # what this run leaves is not for others
        shutil.copytree(cache, copy, dirs_exist_ok=True)
        said = subprocess.run(words, capture_output=True, text=True, check=True,
                              env=dict(os.environ, XDG_CACHE_HOME=copy, **slow_disk(options.disk * 1e6))).stderr
    return " ".join(said.split())


def measure(model, rate, cache):
    """Into that folder what `hypura profile` finds with such a disk; again while other programs disturb it. The share of the
    processors that it had."""
    for _ in range(6):
        said = subprocess.run([program("hypura"), "profile", "--path", model, "--gpu", "none", "--json"], check=True,
                              stdout=subprocess.PIPE, text=True,
                              env=dict(os.environ, XDG_CACHE_HOME=cache, **slow_disk(rate))).stdout
        share = json.loads(said)["processor_share"]
        if share >= 0.9:  # MachineProfile::kDisturbedShare
            break
    return share


def speed(options, folder):
    rate = options.disk * 1e6
    profile = os.path.join(folder, "profile")
    share = measure(options.model, rate, profile)
    workers = []
    rates = [[] for _ in range(options.workers + 1)]
    caches = [profile] * len(rates)
    texts, told = set(), []
    try:
        for i in range(1, options.workers + 1):
            workers.append(Worker(options.model, i, options.memory, folder, options.rtt, options.gbit, rate,
                                  threads=options.threads, profile=profile))
        for i in range(options.rounds):
            counts = list(range(options.workers + 1))
            for count in counts if i % 2 == 0 else reversed(counts):
                for it in workers[:count]:
                    it.kill()
                    it.start()
                with Timed(options.model, options.memory, folder, workers[:count], ["--parallel", "1"], rate,
                           profile) as server:
                    its, text = server.rate("speed", options.skip, options.tokens)
                    if i + 1 == options.rounds:
                        told.append([server.counters(it) for it in workers[:count]])
                rates[count].append(its)
                texts.add(text)
                caches[count] = server.folder
        told.sort(key=len)
        predicted = predictions(options, workers, [profile] * len(rates))
        again = predictions(options, workers, caches)
    finally:
        for it in workers:
            it.close()
    medians = [statistics.median(it) for it in rates]
    return {"model": os.path.basename(options.model), "memory": options.memory, "disk_mb_per_second": options.disk,
            "rtt_ms": options.rtt, "gbit": options.gbit, "tokens_per_second": [[round(it, 3) for it in all] for all in rates],
            "medians": [round(it, 3) for it in medians], "ratios": [round(it / medians[0], 3) for it in medians[1:]],
            "profile_processor_share": round(share, 2),
            "predicted": [round(it, 3) for it in predicted], "predicted_again": [round(it, 3) for it in again],
            "workers": told, "right": len(texts) == 1}


def splits(options, folder):
    flags = ["--parallel", "1", "--no-repack"]
    arms = ["alone", "experts", "layers"]
    rates, firsts, told, texts = ({it: [] for it in arms} for _ in range(4))
    rate = options.disk * 1e6
    profile = os.path.join(folder, "profile")
    share = measure(options.model, rate, profile)
    workers, caches = [], {}
    try:
        for i in range(1, options.workers + 1):
            workers.append(Worker(options.model, i, options.worker_memory, folder, options.rtt, options.gbit, rate,
                                  profile=profile))
        for i in range(options.rounds):
            for arm in arms if i % 2 == 0 else reversed(arms):
                Timed.split = arm
                with Timed(options.model, options.memory, folder, workers if arm != "alone" else [], flags, rate,
                           profile) as server:
                    server.rate("first", options.skip, options.tokens, options.prompt)
                    its, text = server.rate("second", options.skip, options.tokens, options.prompt)
                    told[arm] = [server.counters(it) for it in server.workers]
                caches[arm] = server.folder
                rates[arm].append(round(its, 3))
                firsts[arm].append(round(server.first_token, 3))
                texts[arm].append(text)
        expected = [{}, {}]
        for arm in arms:
            for told_of, cache in zip(expected, (profile, caches[arm])):
                said = said_of_plan(options, workers if arm != "alone" else [], arm, cache)
                told_of[arm] = float(re.search(r"expect ([0-9.]+) tokens/s", said).group(1))
        chosen = " ".join(re.findall(r"workers have .*?whole layers: [^;]*", said_of_plan(options, workers, "auto", profile)))
    finally:
        for it in workers:
            it.close()
    return {"model": os.path.basename(options.model), "memory": options.memory, "worker_memory": options.worker_memory,
            "disk_mb_per_second": options.disk, "profile_processor_share": round(share, 2),
            "rtt_ms": options.rtt, "gbit": options.gbit, "tokens_per_second": rates, "first_token_seconds": firsts,
            "medians": {arm: statistics.median(it) for arm, it in rates.items()}, "predicted": expected[0],
            "predicted_again": expected[1],
            "first_token_medians": {arm: statistics.median(it) for arm, it in firsts.items()}, "chosen": chosen,
            "workers": told, "right": len({it for all in texts.values() for it in all}) == 1}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["exact", "speed", "splits"])
    parser.add_argument("names", nargs="*", help=f"exact: of {', '.join(KINDS)}; else: the model")
    parser.add_argument("--memory", default="auto")
    parser.add_argument("--worker-memory", default="auto")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--disk", type=float, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rtt", type=float, default=0.3)
    parser.add_argument("--gbit", type=float, default=1)
    parser.add_argument("--skip", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.what != "exact" and len(options.names) != 1:
        parser.error(f"{options.what} takes one model")
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "exact":
            result = {kind: exact(kind, folder) for kind in options.names or KINDS}
            right = all(case["right"] for it in result.values() for case in it["cases"])
        else:
            options.model = options.names[0]
            result = (speed if options.what == "speed" else splits)(options, folder)
            right = result["right"]
    print(json.dumps(result, indent=1))
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
