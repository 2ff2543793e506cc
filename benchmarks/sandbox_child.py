"""What the sandbox runs in its child process, as a script of its own: locks itself in, then runs one program with its check.

Standard input is a file: the length of what follows in 8 hexadecimal digits, the JSON `[program, check, memory bytes, CPU
seconds]` of that length, then a token. Standard output gets the verdict, and after "passed" the token. The token is read only
once the check has returned, so that a program that ends the process early has none to show. Nothing here may come from the
project: the interpreter starts without its paths.
"""

import ctypes
import json
import os
import resource
import sys

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_LARGEST_FILE = 1 << 20
_MOST_PROCESSES = 64
# Events of the interpreter that no task needs: the network, other processes, foreign code and changes to files.
_REFUSED = (
    "socket.",
    "subprocess.",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "os.kill",
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "shutil.",
    "pty.",
    "signal.pthread_kill",
    "ctypes.",
    "webbrowser.",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def lock_in(memory: int, seconds: int) -> None:
    """Leave the network, take limits, and have the interpreter refuse what they don't cover. None of it can be taken back."""
    # A kernel may forbid namespaces to plain users: then the refused events are what keeps the network away.
    unshare = getattr(ctypes.CDLL(None), "unshare", None)
    if unshare is not None:
        unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    limits = {
        "RLIMIT_AS": (memory, memory),
        # The soft limit's signal says that it was the time; the hard one's is the same as any kill's.
        "RLIMIT_CPU": (seconds, seconds + 1),
        "RLIMIT_FSIZE": (_LARGEST_FILE, _LARGEST_FILE),
        "RLIMIT_NPROC": (_MOST_PROCESSES, _MOST_PROCESSES),
        "RLIMIT_CORE": (0, 0),
    }
    for name, limit in limits.items():
        if hasattr(resource, name):
            resource.setrlimit(getattr(resource, name), limit)

    here = os.getcwd()

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(_REFUSED):
            raise PermissionError(f"{event} is not for tasks")
        if event == "open":
            path, mode, flags = arguments
            writes = (isinstance(flags, int) and flags & _WRITING) or (isinstance(mode, str) and set(mode) & set("wax+"))
            if writes and not (isinstance(path, (str, bytes)) and os.path.abspath(os.fsdecode(path)).startswith(here + os.sep)):
                raise PermissionError("a task writes in its own folder alone")

    sys.addaudithook(refuse)


def judge(program: str, check: str) -> str:
    """Run the program, then its check; the verdict's name."""
    names: dict[str, object] = {"__name__": "__main__"}
    try:
        code = compile(program, "program.py", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return "syntax"
    try:
        exec(code, names)
        exec(compile(check, "check.py", "exec"), names)
    except AssertionError:
        return "wrong"
    except MemoryError:
        return "memory"
    except BaseException:  # SystemExit and KeyboardInterrupt are ways to fail as well
        return "exception"
    return "passed"


def main() -> None:
    asked, told = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    length = int(os.read(asked, 8), 16)
    program, check, memory, seconds = json.loads(os.read(asked, length))
    lock_in(memory, seconds)
    verdict = judge(program, check).encode()
    if verdict == b"passed":
        verdict += b" " + os.read(asked, 64)
    os.write(told, verdict)
    os._exit(0)


main()
