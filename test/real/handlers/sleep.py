"""A model that only takes time. What it does is read from a JSON file before each load and each call, so that a test can
change it while the server runs; what it did is appended to a log, one line each: event, request id, pid, milliseconds,
and how many calls this process had had.

The folder of both files is in STOKER_TEST_FOLDER: <model>.json and <model>.log.
"""

import fcntl
import json
import os
import signal
import sys
import time

FOLDER = os.environ["STOKER_TEST_FOLDER"]


class Sleep:
    def initialize(self, ctx):
        self.model = ctx.model_name
        self.ballast = None
        self.calls = 0
        self.lock = None
        # One write of one short line to a file opened for appending is never mixed with another process's.
        self.log = os.open(f"{FOLDER}/{self.model}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.note("load", "-")
        behaviour = self.behaviour()
        self.take_place(behaviour)
        time.sleep(behaviour["loadMs"] / 1000)
        self.note("loaded", "-")

    def handle(self, data, ctx):
        self.calls += 1
        behaviour = self.behaviour()
        if len(data) == 1 and not data[0]:
            self.note("decoy", "-")
            if behaviour["decoy"] == "raise":
                raise ValueError("this model does not understand an empty request")
            if behaviour["decoy"] == "run":
                self.serve(behaviour)
            return ["decoy"]
        ids = [request_id(row) for row in data]
        for each in ids:
            self.note("begin", each)
        self.allocate(behaviour["allocMiB"])
        self.serve(behaviour)
        for each in ids:
            self.note("end", each)
        return ids

    def serve(self, behaviour):
        if not behaviour["lock"]:
            time.sleep(behaviour["serviceMs"] / 1000)
            return
        if self.lock is None:
            self.lock = os.open(f"{FOLDER}/{self.model}.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        time.sleep(behaviour["serviceMs"] / 1000)
        fcntl.flock(self.lock, fcntl.LOCK_UN)

    def allocate(self, mebibytes):
        if mebibytes and self.ballast is None:
            # Random bytes: pages of zeros would not count as resident.
            self.ballast = os.urandom(1 << 20) * mebibytes

    def take_place(self, behaviour):
        """Holds the first free place for as long as the process lives; fails from place `failFrom` on."""
        place = 1
        while True:
            held = os.open(f"{FOLDER}/{self.model}.place{place}", os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                os.close(held)
                place += 1
        if behaviour["failFrom"] and place >= behaviour["failFrom"]:
            time.sleep(behaviour["failAfterMs"] / 1000)
            fail(behaviour["failMode"])

    def behaviour(self):
        with open(f"{FOLDER}/{self.model}.json", encoding="utf-8") as file:
            return json.load(file)

    def note(self, event, request):
        line = f"{event} {request} {os.getpid()} {time.time() * 1000:.3f} {self.calls}\n"
        os.write(self.log, line.encode())


def request_id(row):
    body = row.get("body") or row.get("data") or b"-"
    return (bytes(body) if isinstance(body, (bytes, bytearray)) else str(body).encode()).decode().split()[0]


def fail(mode):
    if mode == "cuda":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if mode == "mem":
        raise MemoryError("no memory for the model")
    if mode == "exit":
        sys.exit(3)
    if mode == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "hang":
        time.sleep(3600)
    raise ValueError(f"this model cannot be loaded ({mode})")

