#!/usr/bin/env python3
"""kept.py MODEL --memory SIZE [--program PATH] [--tokens N] [--rounds N] [WHAT...]: what keeping conversations gives.

`restart`: a conversation of N tokens, the server stopped and started, its next turn, and another tail after seven eighths
of it; the ratio of the times to the first token of the next turn, for which the first was kept, and the first, for
which all was computed. `decode`: tokens a second of an answer while blocks of another conversation wait to
be written, and with --kv-disk 0, in turn. `beside`: what an answer's tokens wait for each other while a conversation of N
tokens is fetched and its next turn begins, after a restart. Conversations are kept in a folder of its own, which is
removed. Prints one JSON object.
"""
import argparse
import json
import statistics
import tempfile
import threading
import time

from served_model import ServedModel, numbers

PORT = 8471


class Server(ServedModel):
    def __init__(self, options, folder, kv_disk, context):
        flags = ["--memory", options.memory, "--context", str(context), "--parallel", "2", "--kv-disk", kv_disk]
        super().__init__(options.program, options.model, folder, PORT, flags)

    def ask(self, prompt, tokens, times=None):
        body = {"model": self.model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True,
                "stream_options": {"include_usage": True}}
        start = time.monotonic()
        answer = {"first": None, "text": "", "times": [] if times is None else times}
        for line in self.request("POST", "/v1/completions", body):
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if event.get("choices") and event["choices"][0]["text"]:
                answer["first"] = answer["first"] or time.monotonic() - start
                answer["text"] += event["choices"][0]["text"]
                answer["times"].append(time.monotonic())
            answer["usage"] = event.get("usage") or answer.get("usage")
        answer["seconds"] = time.monotonic() - start
        return answer


def figures(answer):
    cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    return {"seconds_to_first_token": round(answer["first"] or answer["seconds"], 2), "cached": cached,
            "evaluated": answer["usage"]["prompt_tokens"] - cached}


def restart(options, folder):
    first = numbers("first", options.tokens)
    second = first + numbers("second", 80)
    server = Server(options, folder, "auto", options.tokens + 1024)
    computed = server.ask(first, 16)
    result = {"first turn": figures(computed)}
    server.stop()
    server = Server(options, folder, "auto", options.tokens + 1024)
    kept = server.ask(second, 16)
    result["second turn after a restart"] = figures(kept)
    result["read_bytes"] = server.metric("hypura_kv_read_bytes_total")
    tail = first[: options.tokens * 7 // 8] + numbers("tail", 200)
    result["another tail"] = figures(server.ask(tail, 1))
    server.stop()
    result["ratio"] = round(kept["first"] / computed["first"], 4)
    return result


def decode(options, folder):
    rates = {"auto": [], "0": []}
    for i in range(2 * options.rounds):
        kv_disk = "auto" if i % 4 in (0, 3) else "0"
        server = Server(options, folder, kv_disk, 4096)
        server.ask(numbers(f"other {i}", 900), 1)
        answer = server.ask(numbers("short", 8), 96)
        rates[kv_disk].append((answer["usage"]["completion_tokens"] - 1) / (answer["seconds"] - answer["first"]))
        server.stop()
    # Of neighbours, since the speed of a shared machine changes.
    ratios = [kept / without for kept, without in zip(rates["auto"], rates["0"])]
    return {"tokens_per_second": {name: [round(it, 2) for it in all] for name, all in rates.items()},
            "ratios": [round(it, 3) for it in ratios], "ratio": round(statistics.median(ratios), 3)}


def beside(options, folder):
    conversation = numbers("kept", options.tokens)
    server = Server(options, folder, "auto", options.tokens + 1024)
    server.ask(conversation, 1)
    server.stop()
    server = Server(options, folder, "auto", options.tokens + 1024)
    times = []
    writer = threading.Thread(target=server.ask, args=(numbers("beside", 8), 128, times))
    writer.start()
    while len(times) < 32:
        time.sleep(0.01)
    at = time.monotonic()
    asked = server.ask(conversation + numbers("next", 8), 1)
    writer.join()
    server.stop()
    gaps = {"before": [], "beside": []}
    for earlier, later in zip(times, times[1:]):
        if earlier < at + asked["seconds"]:
            gaps["before" if later < at else "beside"].append(later - earlier)
    return {"next turn": figures(asked), "median_wait_before": round(statistics.median(gaps["before"]), 3),
            "median_wait_beside": round(statistics.median(gaps["beside"]), 3),
            "longest_wait_beside": round(max(gaps["beside"]), 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("what", nargs="*", help="restart, decode, beside; all without")
    parser.add_argument("--memory", required=True)
    parser.add_argument("--program", default="hypura")
    parser.add_argument("--tokens", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in (("restart", restart), ("decode", decode), ("beside", beside)):
            if not options.what or name in options.what:
                result[name] = measure(options, folder)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
