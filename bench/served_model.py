"""`hypura serve MODEL` for a measurement: started with a cache of its own, asked over HTTP, stopped."""
import http.client
import json
import os
import random
import subprocess
import time


class ServedModel:
    """Ready to answer, with all weights loaded. `flags`: of `hypura serve`; what is kept and logged is in `folder`;
    `environment`: more than this process has."""

    def __init__(self, program, model, folder, port, flags, environment=None):
        self.port = port
        self.log = open(os.path.join(folder, "log"), "w+")
        words = [program, "serve", model, "--port", str(port), *flags]
        self.process = subprocess.Popen(words, env=dict(os.environ, XDG_CACHE_HOME=folder, **(environment or {})),
                                        stderr=self.log)
        while self.process.poll() is None:
            try:
                self.model = json.loads(self.call("GET", "/v1/models")[1])["data"][0]["id"]
                if "hypura_model_loaded" in self.metrics():
                    return
            except OSError:
                pass
            time.sleep(0.1)
        self.log.seek(0)
        raise SystemExit(self.log.read())

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=3600)
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        return connection.getresponse()

    def call(self, method, path, body=None):
        response = self.request(method, path, body)
        return response.status, response.read().decode()

    def metrics(self):
        return self.call("GET", "/metrics")[1]

    def metric(self, name):
        return next(float(it.split()[-1]) for it in self.metrics().splitlines() if it.startswith(name))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        self.process.terminate()
        self.process.wait()


def numbers(seed, count):
    """Tokens of a prompt."""
    source = random.Random(seed)
    return [source.randrange(300, 4000) for _ in range(count)]
