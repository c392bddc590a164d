#!/usr/bin/env python3
"""agents.py [--url URL] [--system N] [--task N] [WHAT...]: what agents do to a running `hypura serve`, in tokens and seconds.

Ten agents at once with one system prompt and a task each; a conversation between whose turns come small requests; a
prompt that is dropped at its half and asked for again; all of these, or WHAT of them. Prompts are arrays of tokens, so
any model will do. The server should have --parallel 4 or so for the first, and may have 1 for the others. Prints one
JSON object.
"""
import argparse
import http.client
import json
import threading
import time
import urllib.parse

from served_model import numbers


class Server:
    def __init__(self, url):
        self.address = urllib.parse.urlsplit(url)
        self.model = self.get("/v1/models")["data"][0]["id"]

    def connect(self):
        return http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=3600)

    def get(self, path, text=False):
        connection = self.connect()
        connection.request("GET", path)
        body = connection.getresponse().read()
        return body.decode() if text else json.loads(body)

    def metric(self, name):
        lines = [line for line in self.get("/metrics", text=True).splitlines() if line.startswith(name + "{")]
        return float(lines[0].split()[1])

    def begin(self, prompt, tokens):
        connection = self.connect()
        body = {"model": self.model, "prompt": prompt, "max_tokens": tokens, "temperature": 0}
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        return connection

    def ask(self, prompt, tokens=8):
        start = time.monotonic()
        reply = json.loads(self.begin(prompt, tokens).getresponse().read())
        if "usage" not in reply:
            raise SystemExit(f"the server refused: {reply}")
        cached = reply["usage"]["prompt_tokens_details"]["cached_tokens"]
        return {"evaluated": len(prompt) - cached, "seconds": round(time.monotonic() - start, 2)}


def agents(server, system, task):
    prompts = [numbers("system", system) + numbers(f"task {i}", task) for i in range(10)]
    replies = [None] * len(prompts)

    def run(i):
        replies[i] = server.ask(prompts[i])

    start = time.monotonic()
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "asked": sum(len(prompt) for prompt in prompts),
        "evaluated": sum(reply["evaluated"] for reply in replies),
        "seconds": round(time.monotonic() - start, 2),
    }


def side_requests(server, system, task):
    conversation = numbers("conversation", system)
    first = server.ask(conversation)
    for i in range(12):
        server.ask(numbers(f"title {i}", task))
    return {"first_turn": first, "second_turn": server.ask(conversation + numbers("second", task))}


def dropped(server, system):
    prompt = numbers("dropped", system)
    before = server.metric("hypura_pass_tokens_total")
    connection = server.begin(prompt, 8)
    while server.metric("hypura_pass_tokens_total") - before < len(prompt) / 2:
        time.sleep(0.02)
    at = server.metric("hypura_pass_tokens_total") - before
    connection.sock.close()
    connection.close()
    return {"dropped_after": int(at), "of": len(prompt), "retry": server.ask(prompt)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--system", type=int, default=2000, help="tokens that the agents have in common")
    parser.add_argument("--task", type=int, default=100, help="tokens that each has for itself")
    parser.add_argument("what", nargs="*", help="ten_agents, side_requests, dropped")
    options = parser.parse_args()
    server = Server(options.url)
    server.ask(numbers("warm", 16))
    scenarios = {
        "ten_agents": lambda: agents(server, options.system, options.task),
        "side_requests": lambda: side_requests(server, options.system, options.task),
        "dropped": lambda: dropped(server, options.system),
    }
    print(json.dumps({name: scenarios[name]() for name in options.what or scenarios}, indent=1))


if __name__ == "__main__":
    main()
