#!/usr/bin/env python3
"""given_back.py MODEL --memory SIZE --less SIZE [--program PATH] [--requests N] [--every SECONDS]: a server's memory made
less and more again under load.

Two servers answer the same N requests, one after the other without a pause: the first as it is; the memory of the second
goes to --less and back every few seconds, by POST /hypura/memory, also in the middle of prompts. Prints one JSON
object: requests that failed, answers that differ (tokens and log-probabilities), and for each change how long the reply
took, the process's resident bytes before, when the reply came, and at most from 2 s after the change to the next one.
"""
import argparse
import json
import random
import tempfile
import threading
import time

from served_model import ServedModel, numbers

PORT = 8472


class Server(ServedModel):
    def __init__(self, options, folder):
        flags = ["--memory", options.memory, "--context", "2048", "--parallel", "1", "--kv-disk", "0", "--gpu", "none"]
        super().__init__(options.program, options.model, folder, PORT, flags)

    def resident(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

    def ask(self, seed, answers):
        prompt = numbers(seed, random.Random(seed).randrange(60, 500))
        body = {"model": self.model, "prompt": prompt, "max_tokens": 32, "temperature": 0, "logprobs": 1, "seed": 1}
        start = time.monotonic()
        status, text = self.call("POST", "/v1/completions", body)
        choice = json.loads(text)["choices"][0] if status == 200 else {}
        answers.append({"status": status, "said": [choice.get("text"), choice.get("logprobs")],
                        "at": start, "seconds": time.monotonic() - start})


class Watch(threading.Thread):
    """The process's resident bytes, a hundred times a second."""

    def __init__(self, server):
        super().__init__()
        self.server, self.seen, self.done = server, [], False
        self.start()

    def run(self):
        while not self.done:
            self.seen.append((time.monotonic(), self.server.resident()))
            time.sleep(0.01)

    def most(self, begin, end):
        return max((bytes for at, bytes in self.seen if begin <= at < end), default=0)


def change(server, memory):
    before = server.resident()
    start = time.monotonic()
    status, text = server.call("POST", "/hypura/memory", {"memory": memory})
    if status != 200:
        raise SystemExit(text)
    return {"memory": memory, "at": start, "seconds": round(time.monotonic() - start, 3), "resident_before": before,
            "resident_at_reply": server.resident(), "state": json.loads(text)["model"]}


def run(options, changing):
    answers, changes = [], []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(options, folder)
        watch = Watch(server)
        asking = threading.Thread(target=lambda: [server.ask(seed, answers) for seed in range(options.requests)])
        asking.start()
        sizes = [options.less, "auto"]
        while changing and asking.is_alive():
            asking.join(options.every)
            if asking.is_alive():
                changes.append(change(server, sizes[len(changes) % 2]))
        asking.join()
        watch.done = True
        watch.join()
        ends = [it["at"] for it in changes[1:]] + [time.monotonic()]
        for it, end in zip(changes, ends):
            it["resident_after_2_s"] = watch.most(it["at"] + 2, end)
        peak = watch.most(0, time.monotonic())
        server.stop()
    return answers, changes, peak


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--memory", required=True)
    parser.add_argument("--less", required=True)
    parser.add_argument("--program", default="build/release/bin/hypura")
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--every", type=float, default=6)
    options = parser.parse_args()
    expected, _, peak = run(options, False)
    answers, changes, _ = run(options, True)
    for it in changes:
        it.pop("at")
    print(json.dumps({"requests": len(answers), "failed": sum(it["status"] != 200 for it in expected + answers),
                      "different": sum(a["said"] != b["said"] for a, b in zip(expected, answers)),
                      "seconds_unchanged": round(sum(it["seconds"] for it in expected), 1),
                      "seconds_changing": round(sum(it["seconds"] for it in answers), 1),
                      "peak_unchanged": peak, "changes": changes}, indent=1))


if __name__ == "__main__":
    main()
