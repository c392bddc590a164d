#!/usr/bin/env python3
"""workers_lost.py MODEL --memory SIZE [--worker-memory SIZE] [--events N] [--seed N] [--first N] [WHAT...]: workers that are
lost and come back under load.

`serve`: a server answers without a pause while its three workers are killed, stopped and let go on, have their cables
pulled and their connections reset, N times in all: each worker again as soon as it is asked again. `run`: `hypura run`,
one after the other, meanwhile. Prints one JSON object: events; answers that failed and that differ from those without
workers, by tokens and log-probabilities; losses; what the server and the workers' supervisors hold before and after.
Needs root: two workers have network namespaces of their own; the third is behind a relay. With --first the events begin
later in the order that --seed gives, so that many can be had in several runs.
"""
import argparse
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time

from served_model import ServedModel, numbers
from worker_machines import Worker, holdings, program

PORT = 8473
KINDS = ["kill", "kill both", "stop", "cable", "reset"]
PATIENCE = 120  # seconds that a worker may take to be asked again
REQUESTS = 24   # different ones


class Server(ServedModel):
    def __init__(self, options, folder, workers):
        os.makedirs(folder, exist_ok=True)
        flags = ["--memory", options.memory, "--context", "1024", "--parallel", "1", "--kv-disk", "0", "--gpu", "none",
                 "--threads", "1", *(["--split", "experts"] if workers else [])]
        for it in workers:
            flags += ["--worker", it.address, "--trust-network"]
        super().__init__(program("hypura"), options.model, folder, PORT, flags)

    def ask(self, seed):
        body = {"model": self.model, "prompt": numbers(seed, 8 + seed % 20), "max_tokens": 24, "temperature": 0.8,
                "logprobs": 1, "seed": seed}
        status, text = self.call("POST", "/v1/completions", body)
        choice = json.loads(text)["choices"][0] if status == 200 else {}
        return [status, choice.get("text"), choice.get("logprobs")]

    def of_worker(self, counter, worker):
        name = f"hypura_worker_{counter}"
        return next((float(it.split()[-1]) for it in self.metrics().splitlines()
                     if it.startswith(name) and f'worker="{worker.address}"' in it), 0.0)


    def told_of(self, worker):
        """What the log says of it."""
        with open(self.log.name) as lines:
            return [it.strip() for it in lines if worker.address in it]


class Runs:
    """`hypura run`, again and again, as a server is asked."""

    def __init__(self, options, folder, workers):
        self.words = [program("hypura"), "run", options.model, "--raw", "--memory", options.memory, "--threads", "1",
                      "--context", "1024", "--gpu", "none", "-n", "120", "--stats", "json"]
        self.environment = dict(os.environ, XDG_CACHE_HOME=folder)
        self.asks, self.losses = {}, {}
        self.words += ["--split", "experts"] if workers else []
        for it in workers:
            self.words += ["--worker", it.address, "--trust-network"]

    def ask(self, seed):
        words = self.words + ["--seed", str(seed), "-p", f"Once upon a time number {seed}"]
        done = subprocess.run(words, env=self.environment, capture_output=True, check=False)
        if done.returncode == 0:
            for it in json.loads(done.stderr.splitlines()[-1])["workers"]:
                self.asks[it["name"]] = self.asks.get(it["name"], 0) + it["asks"]
                self.losses[it["name"]] = self.losses.get(it["name"], 0) + it["losses"]
        return [200 if done.returncode == 0 else done.returncode, done.stdout.decode(), None]

    def of_worker(self, counter, worker):
        return {"asks": self.asks, "losses": self.losses, "joined": {}}[counter.removesuffix("_total")].get(worker.address, 0)

    def told_of(self, _):
        return []


class Load(threading.Thread):
    """Asks without a pause until told to stop."""

    def __init__(self, server, expected):
        super().__init__(daemon=True)
        self.server, self.expected, self.ended = server, expected, False
        self.asked, self.failed, self.different, self.longest = 0, 0, 0, 0.0
        self.start()

    def run(self):
        while not self.ended:
            seed = self.asked % REQUESTS
            start = time.monotonic()
            answer = self.server.ask(seed)
            self.longest = max(self.longest, time.monotonic() - start)
            self.asked += 1
            self.failed += answer[0] != 200
            self.different += answer != self.expected[seed]


def wait_until_asked(server, worker):
    """How long it takes until the worker is asked again, and until it has joined (0 of one that was not lost; a server
    alone tells); None where it is not within the patience."""
    start = time.monotonic()
    asks = server.of_worker("asks_total", worker)
    joined = 0.0
    while server.of_worker("asks_total", worker) == asks:
        waited = time.monotonic() - start
        if waited > PATIENCE:
            return None
        joined = joined if server.of_worker("joined", worker) else waited
        time.sleep(0.1)
    return time.monotonic() - start, joined


def happen(kind, worker, chance):
    """One event. Whether the worker was there to have it."""
    pause = chance.uniform(0.05, 3)
    if kind == "kill":
        return worker.signal(signal.SIGKILL)
    if kind == "kill both":
        worker.kill()
        time.sleep(pause)
        worker.start()
        return True
    if kind == "stop":
        if not worker.signal(signal.SIGSTOP):
            return False
        time.sleep(pause)
        return worker.signal(signal.SIGCONT)
    if kind == "cable":
        way = worker.namespace or worker.relay
        for event in ("cut", "mend"):
            getattr(way, event)() if worker.namespace else way.tell(event)
            time.sleep(pause if event == "cut" else 0)
        return True
    worker.relay.tell("drop")
    return True


class Events(threading.Thread):
    """What happens to one worker: `kinds`, one after the other."""

    def __init__(self, server, worker, kinds, seed):
        super().__init__(daemon=True)
        self.server, self.worker, self.kinds, self.chance = server, worker, kinds, random.Random(seed)
        self.happened, self.lost_for_good, self.back_after, self.slowest = {}, [], {}, {"seconds": 0}
        self.start()

    def run(self):
        for kind in self.kinds:
            time.sleep(self.chance.uniform(0, 0.5))
            if kind == "kill" and self.happened.get("kill", 0) % 3 == 2:
                self.worker.kill()  # its supervisor waits longer after each: begin anew
                self.worker.start()
                wait_until_asked(self.server, self.worker)
            if happen(kind, self.worker, self.chance):
                self.happened[kind] = self.happened.get(kind, 0) + 1
            took = wait_until_asked(self.server, self.worker)
            if took is None:
                self.lost_for_good.append(kind)
                return
            asked, joined = took
            self.back_after[kind] = max(self.back_after.get(kind, 0), round(asked, 1))
            if asked > self.slowest["seconds"]:
                self.slowest = {"seconds": round(asked, 1), "until_joined": round(joined, 1), "after": kind,
                                "worker": self.worker.address, "log": self.server.told_of(self.worker)[-12:],
                                "its_log": self.worker.log().splitlines()[-12:]}


def measure(kind, options, folder, workers):
    make = Server if kind == "serve" else Runs
    alone = make(options, os.path.join(folder, "alone"), [])
    expected = [alone.ask(seed) for seed in range(REQUESTS)]
    if kind == "serve":
        alone.stop()
    server = make(options, os.path.join(folder, kind), workers)
    load = Load(server, expected)
    for it in workers:
        if wait_until_asked(server, it) is None:
            raise SystemExit(f"{it.address} is not asked at all:\n{it.log()}")
    pids = {"server": server.process.pid} if kind == "serve" else {}
    before = {name: holdings(pid) for name, pid in pids.items()}
    order = random.Random(options.seed)
    drawn = [order.choice(KINDS) for _ in range(options.first + options.events)][options.first:]
    happens = [Events(server, it, [kind if kind != "reset" or it.relay else "cable" for kind in drawn[i::len(workers)]],
                      options.seed + i) for i, it in enumerate(workers)]
    for it in happens:
        it.join()
    load.ended = True
    load.join()
    time.sleep(2)
    after = {name: holdings(pid) for name, pid in pids.items()}
    result = {"events": {name: sum(it.happened.get(name, 0) for it in happens) for name in KINDS}, "asked": load.asked,
              "failed": load.failed, "different": load.different, "longest_answer_seconds": round(load.longest, 1),
              "losses": sum(server.of_worker("losses_total", it) for it in workers),
              "lost_for_good": [it.lost_for_good for it in happens],
              "longest_until_asked_again": {name: max(it.back_after.get(name, 0) for it in happens) for name in KINDS},
              "slowest": [it.slowest for it in happens], "before": before, "after": after,
              "supervisors": [holdings(it.process.pid) for it in workers]}
    if kind == "serve":
        result["rows_done_here"] = sum(server.of_worker("rows_done_here_total", it) for it in workers)
        server.stop()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("what", nargs="*", help="serve, run; both without")
    parser.add_argument("--memory", required=True)
    parser.add_argument("--worker-memory")
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        workers = []
        try:
            for i in (1, 2, 3):
                workers.append(Worker(options.model, i, options.worker_memory or options.memory, folder,
                                      rtt=0.1 if i == 3 else 0, namespaced=i != 3))
            for kind in options.what or ["serve", "run"]:
                result[kind] = measure(kind, options, folder, workers)
        finally:
            for it in workers:
                it.close()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
