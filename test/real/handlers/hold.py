"""Holds as much memory as a file asks for, and follows it as it changes: {"anonBytes": N, "fileBytes": N, "volumeBytes": N} or
{"exit": CODE}."""

import json
import mmap
import os
import signal
import sys
import time

wish, scratch, volume = sys.argv[1:]
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

anon = None
held = {}
path = os.path.join(scratch, "file")


def hold_anon(size):
    global anon
    if anon is not None:
        anon.close()
        anon = None
    if size > 0:
        anon = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for place in range(0, size, 4096):
            anon[place] = 1


def hold_file(size):
    if os.path.exists(path):
        os.unlink(path)
    if size > 0:
        with open(path, "wb") as file:
            for _ in range(size // 2**20):
                file.write(b"x" * 2**20)
            file.flush()
            os.fsync(file.fileno())
        # Read, so that clean pages of it stay in memory.
        with open(path, "rb") as file:
            while file.read(2**20):
                pass


def hold_volume(size):
    with open(os.path.join(volume, "file"), "wb") as file:
        for _ in range(size // 2**20):
            file.write(b"x" * 2**20)


while True:
    try:
        with open(wish) as file:
            wanted = json.load(file)
    except (FileNotFoundError, ValueError):
        wanted = held
    if wanted != held:
        if "exit" in wanted:
            os.unlink(wish)
            os._exit(wanted["exit"])
        if wanted.get("fileBytes") != held.get("fileBytes"):
            hold_file(wanted["fileBytes"])
        if wanted.get("volumeBytes", 0) != held.get("volumeBytes", 0):
            hold_volume(wanted.get("volumeBytes", 0))
        if wanted.get("anonBytes") != held.get("anonBytes"):
            hold_anon(wanted["anonBytes"])
        held = wanted
    time.sleep(0.02)
