"""Machines for measurements of workers, all on this one: `hypura worker` processes, each with a disk of its own speed and
behind a network of its own. Linux, as root where a machine has a network namespace."""
import os
import shutil
import signal
import subprocess
import time

FIRST_PORT = 52700
BUILD = os.environ.get("HYPURA_BUILD", "build/release")


def program(name):
    return os.path.join(BUILD, "bin", name)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as them:
        return [int(it) for it in them.read().split()]


def status(pid, name):
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


def holdings(pid):
    """What a process could leak."""
    return {"resident": 1024 * status(pid, "VmRSS"), "threads": status(pid, "Threads"),
            "files": len(os.listdir(f"/proc/{pid}/fd")), "children": len(children(pid))}


def slow_disk(bytes_per_second):
    """What is in the environment of a process whose disk gives so many bytes a second (bench/paced_disk.cpp); 0: what this
    machine's gives."""
    if not bytes_per_second:
        return {}
    return {"LD_PRELOAD": os.path.abspath(program("hypura-paced-disk.so")),
            "HYPURA_DISK_BYTES_PER_SECOND": str(bytes_per_second)}


def ip(*words):
    subprocess.run(["ip", *words], check=True, stdout=subprocess.DEVNULL)


class Namespace:
    """A network of its own, with one cable to this one."""

    def __init__(self, number):
        self.name = f"hypura-bench-{number}"
        self.here, there = f"hyb{number}a", f"hyb{number}b"
        self.address = f"10.77.{number}.2"
        ip("netns", "add", self.name)
        ip("link", "add", self.here, "type", "veth", "peer", "name", there, "netns", self.name)
        ip("address", "add", f"10.77.{number}.1/24", "dev", self.here)
        ip("link", "set", self.here, "up")
        for words in (["address", "add", f"{self.address}/24", "dev", there], ["link", "set", there, "up"]):
            ip("-n", self.name, *words)

    def cut(self):
        ip("link", "set", self.here, "down")

    def mend(self):
        ip("link", "set", self.here, "up")

    def close(self):
        ip("netns", "delete", self.name)


class Relay:
    """The way to a worker takes `rtt` ms there and back, and has so many Gbit/s. See bench/relay_main.cpp."""

    def __init__(self, port, host, to_port, rtt, gbit):
        self.address = f"127.0.0.1:{port}"
        words = [program("hypura-relay"), str(port), host, str(to_port), str(rtt), str(gbit)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE)

    def tell(self, event):
        self.process.stdin.write(event.encode() + b"\n")
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Worker:
    """`hypura worker` number N. With `rtt` or `gbit` behind a relay, with `namespaced` in a network of its own; `disk`: as
    slow_disk() has it; `profile`: a cache folder with what `hypura profile` found."""

    def __init__(self, model, number, memory, folder, rtt=0, gbit=0, disk=0, namespaced=False, threads=1,
                 profile=None):
        self.model, self.memory, self.threads = model, memory, threads
        self.disk = disk
        self.folder = os.path.join(folder, f"worker-{number}")
        os.makedirs(self.folder, exist_ok=True)
        if profile:
            shutil.copytree(profile, self.folder, dirs_exist_ok=True)
        self.log_path = os.path.join(self.folder, "log")
        self.namespace = Namespace(number) if namespaced else None
        self.host = self.namespace.address if namespaced else "127.0.0.1"
        self.port = FIRST_PORT + number
        self.relay = Relay(FIRST_PORT + 50 + number, self.host, self.port, rtt, gbit) if rtt or gbit else None
        self.address = self.relay.address if self.relay else f"{self.host}:{self.port}"
        self.start()

    def start(self):
        ready = self.log().count("is worked for")
        words = ["ip", "netns", "exec", self.namespace.name] if self.namespace else []
        words += [program("hypura"), "worker", self.model, "--listen", f"{self.host}:{self.port}", "--memory", self.memory,
                  "--threads", str(self.threads)] + (["--trust-network"] if self.namespace else [])
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(words, stderr=log, stdin=subprocess.DEVNULL,
                                            env=dict(os.environ, XDG_CACHE_HOME=self.folder, **slow_disk(self.disk)))
        while self.log().count("is worked for") == ready:
            if self.process.poll() is not None:
                raise SystemExit(self.log())
            time.sleep(0.05)

    def log(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path) as log:
            return log.read()

    def child(self):
        """The process that works, or None while there is none."""
        return next(iter(children(self.process.pid)), None)

    def signal(self, number):
        """Whether there was a process that works to get it."""
        child = self.child()
        if child:
            os.kill(child, number)
        return child is not None

    def kill(self):
        """Both of its processes at once, as when the power goes."""
        child = self.child()
        for it in (self.process.pid, child):
            if it:
                os.kill(it, signal.SIGKILL)
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        if self.relay:
            self.relay.close()
        if self.namespace:
            self.namespace.close()
