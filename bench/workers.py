#!/usr/bin/env python3
"""workers.py exact [KIND...] | speed MODEL --memory SIZE --disk MBPS: what workers give, on one machine.

`exact`: a small model of each kind of experts that hypura-make-model knows, and the demo model; one to three workers with
the fewest slots and with room for all. Tokens and log-probabilities of eight answers, one after the other, must be those
of one machine, and each worker must have computed some rows. Of the models that are made the bytes sent and received
must be those of the protocol's formula. Then eight at once, of which no equality is asked: which passes they share
depends on time, on one machine too. That their logits are right is for src/generate/engine/workers_test.cpp to show.

`speed`: tokens/s of an answer alone and with --workers workers, in turn, each machine with the same memory and a disk of so
many MB/s, behind relays of --rtt ms and --gbit Gbit/s. The first --skip tokens of an answer are left out: they fill the
memories, since all machines start anew for each answer. Needs root for the disks' limits (cgroup v1).

Prints one JSON object; the exit status is 1 where something was not equal.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

from served_model import ServedModel, numbers
from worker_machines import Disk, Worker, program

PORT = 8474
WIDTH, EXPERTS = 256, 32  # of the models that are made
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

    def __init__(self, model, memory, folder, workers, flags=(), disk=None):
        self.folder = tempfile.mkdtemp(dir=folder)
        self.workers = workers
        words = ["--memory", memory, "--context", "1024", "--kv-disk", "0", "--gpu", "none", "--threads", "1", *flags]
        for it in workers:
            words += ["--worker", it.address]
        disk = disk or Disk("client", model, None)
        super().__init__(program("hypura"), model, self.folder, PORT, words, disk.enter)

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
    """What was sent and received between the two for asks of one token each is not what remote/protocol.h says."""
    moved = {name: after[name] - before[name] for name in after}
    if not moved["asks"]:
        return []
    tensor = 296  # RpcTensor; 9 bytes before each of three requests
    ask = 27 + (tensor + 9) + 4 + (tensor + 16) + 16 + 4 * WIDTH
    pairs = min(MOST_PAIRS, (moved["sent_bytes"] / moved["asks"] - ask) // 8)  # a worker with little memory takes fewer
    reply = 8 + 64 + (EXPERTS + 63) // 64 * 8
    right = {"sent_bytes": (ask + 8 * max(pairs, 1)) * moved["asks"],
             "received_bytes": reply * moved["asks"] + 4 * WIDTH * moved["rows"]}
    return [f"{name}: {moved[name]:.0f}, not {it:.0f}" for name, it in right.items() if moved[name] != it]


def exact(kind, folder):
    model = STORIES
    if KINDS[kind] is not None:
        model = os.path.join(folder, f"{kind}.gguf")
        subprocess.run([program("hypura-make-model"), model, *KINDS[kind], "--embedding", str(WIDTH), "--experts",
                        str(EXPERTS), "--layers", "4", "--skew", "0.7"], check=True, stdout=subprocess.DEVNULL)
    one, many = ["--parallel", "1"], ["--parallel", "8"]
    # Slots for some experts more than the fewest; with eight sequences their keys too.
    least = least_memory([program("hypura"), "run", model, "-p", "a", "--gpu", "none", "--context", "1024"])
    few = mib(least + os.path.getsize(model) * 0.2)
    half = mib(least + os.path.getsize(model) * 0.5)
    few_there = mib(least_memory([program("hypura"), "worker", model, "--listen", "127.0.0.1:52999"]))
    seeds = list(range(8))
    alone = Server(model, few, folder, [], one)
    expected = [alone.ask(it) for it in seeds]
    alone.stop()
    result = {"memory": few, "cases": []}
    for count, there in ((1, few_there), (2, "1G"), (3, few_there)):
        workers = [Worker(model, i + 1, there, tempfile.mkdtemp(dir=folder)) for i in range(count)]
        case = {"workers": count, "memory_there": there, "different": 0, "wire": []}
        server = Server(model, few, folder, workers, one)
        case["different"] = sum(server.ask(it) != right for it, right in zip(seeds, expected))
        before = [server.counters(it) for it in workers]
        server.ask("wire", prompt=1)
        after = [server.counters(it) for it in workers]
        case["rows"] = [it["rows"] for it in after]
        if KINDS[kind] is not None:
            case["wire"] = [error for a, b in zip(after, before) for error in wire_errors(b, a)]
            case["asks_on_the_wire"] = sum(a["asks"] - b["asks"] for a, b in zip(after, before))
        server.stop()
        server = Server(model, half, folder, workers, many)
        server.ask("eight", 8)
        case["rows_of_eight"] = [server.counters(it)["rows"] for it in workers]
        server.stop()
        for it in workers:
            it.close()
        case["right"] = not (case["different"] or case["wire"]) and all(case["rows"] + case["rows_of_eight"])
        result["cases"].append(case)
        print(kind, json.dumps(case), file=sys.stderr)
    if KINDS[kind] is not None:
        os.remove(model)
    return result


class Timed(Server):
    def rate(self, seed, skip, tokens):
        """Tokens/s behind the first `skip`, and the text."""
        body = {"model": self.model, "prompt": numbers(seed, 8), "max_tokens": skip + tokens, "temperature": 0,
                "stream": True, "ignore_eos": True}
        times, text = [], ""
        for line in self.request("POST", "/v1/completions", body):
            if line.startswith(b"data: {"):
                choices = json.loads(line[6:]).get("choices")
                if choices and choices[0]["finish_reason"] is None:
                    times.append(time.monotonic())
                    text += choices[0]["text"]
        return (len(times) - 1 - skip) / (times[-1] - times[skip]), text


def speed(options, folder):
    rate = options.disk * 1e6
    disk = Disk("client", options.model, rate)
    workers = [Worker(options.model, i + 1, options.memory, folder, options.rtt, options.gbit,
                      Disk(str(i + 1), options.model, rate), threads=options.threads) for i in range(options.workers)]
    rates = [[] for _ in range(options.workers + 1)]
    texts, told, predicted = set(), [], []
    try:
        for i in range(options.rounds):
            counts = list(range(options.workers + 1))
            for count in counts if i % 2 == 0 else reversed(counts):
                for it in workers[:count]:
                    it.kill()
                    it.start()
                server = Timed(options.model, options.memory, folder, workers[:count], ["--parallel", "1"], disk)
                its, text = server.rate("speed", options.skip, options.tokens)
                rates[count].append(its)
                texts.add(text)
                if i + 1 == options.rounds:
                    told.append([server.counters(it) for it in workers[:count]])
                server.stop()
        for count in range(options.workers + 1):
            words = [program("hypura"), "run", options.model, "--memory", options.memory, "--gpu", "none", "--threads", "1",
                     "--context", "1024", "-p", "a", "-n", "2", "--stats", "json"]
            for it in workers[:count]:
                words += ["--worker", it.address]
            said = subprocess.run(words, capture_output=True, text=True, check=True).stderr.splitlines()[-1]
            predicted.append(json.loads(said)["predicted_tokens_per_second"])
    finally:
        for it in workers:
            it.close()
        disk.close()
    medians = [statistics.median(it) for it in rates]
    return {"model": os.path.basename(options.model), "memory": options.memory, "disk_mb_per_second": options.disk,
            "rtt_ms": options.rtt, "gbit": options.gbit, "tokens_per_second": [[round(it, 3) for it in all] for all in rates],
            "medians": [round(it, 3) for it in medians], "ratios": [round(it / medians[0], 3) for it in medians[1:]],
            "predicted": [round(it, 3) for it in predicted], "workers": told, "right": len(texts) == 1}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["exact", "speed"])
    parser.add_argument("names", nargs="*", help=f"exact: of {', '.join(KINDS)}; speed: the model")
    parser.add_argument("--memory", default="auto")
    parser.add_argument("--disk", type=float, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rtt", type=float, default=0.3)
    parser.add_argument("--gbit", type=float, default=1)
    parser.add_argument("--skip", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "exact":
            result = {kind: exact(kind, folder) for kind in options.names or KINDS}
            right = all(case["right"] for it in result.values() for case in it["cases"])
        else:
            options.model = options.names[0]
            result = speed(options, folder)
            right = result["right"]
    print(json.dumps(result, indent=1))
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
