"""The programs that are compared: section_bench, started for each timing, and peers, which stay and answer."""

import json
import os
import shlex
import subprocess
import threading

from .machine import BENCH, run_json

PEERS = {"torch": "section_torch.py", "jax": "section_jax.py"}
ANSWER_SECONDS = 600


class Lossatlas:
    def __init__(self, options, folder, environment):
        self.command = [str(options.bench), "--device", options.device]
        self.command += ["--threads", str(options.threads)] if options.threads else []
        self.command += ["--size", options.size] if options.size else []
        self.folder, self.environment = folder, environment

    def export(self, cases, precisions):
        command = self.command + ["--export", str(self.folder), "--cases", cases]
        command += ["--precisions", precisions] if precisions else []
        subprocess.run(command, env={**os.environ, **self.environment}, check=True)

    def run(self, arguments):
        result = run_json(self.command + ["--benchmark_format=json", *arguments], self.environment)
        for one in result["benchmarks"]:
            if one.get("error_occurred"):
                raise SystemExit(f"run.py: {one['name']}: {one['error_message']}")
        return result

    def time(self, key):
        """Context and numbers of one row."""
        case, precision = key.split("/")
        arguments = ["--cases", case, "--precisions", precision, "--reference", str(self.folder), "--repetitions", "1"]
        result = self.run(arguments)
        return result["context"], result["benchmarks"][0]


class Gone(Exception):
    """A peer that ended or did not answer."""


class Peer:
    """One of PEERS; started again after it went."""

    def __init__(self, name, options, folder, environment):
        self.name, self.environment = name, {**os.environ, **environment}
        self.command = [options.python, str(BENCH / "peers" / PEERS[name]), str(folder), "--device", options.device]
        self.command += ["--threads", str(options.threads or len(os.sched_getaffinity(0)))]
        self.command += ["--least", str(options.least)]
        self.log = folder / (name + ".log")
        self.process = None
        self.about = self.start()

    def start(self):
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        return self.answer()

    def answer(self):
        timer = threading.Timer(ANSWER_SECONDS, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            status = self.process.wait()
            self.process = None
            tail = self.log.read_text().strip().splitlines()[-1:]
            raise Gone(f"{shlex.join(self.command[:2])} ended with status {status}: {' '.join(tail)}"[:300])
        reply = json.loads(line)
        if "failed" in reply:
            raise Gone(reply["failed"])
        return reply

    def ask(self, request):
        if self.process is None:
            self.start()
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # answer() says how it ended
        return self.answer()

    def close(self):
        if self.process is None:
            return
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
