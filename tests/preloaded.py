"""A ``python`` for DVC that starts stages quickly: it forks them from a process that has imported PyTorch.

To import PyTorch takes two seconds, longer than most stages of the tests, and the suite runs hundreds of
them. Only libraries are imported before, nothing of the project: its code is that of the test's workspace.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path

LIBRARIES = (
    "cv2", "faiss", "openvino", "pandas", "PIL.Image", "pyarrow.parquet", "pydantic", "ruamel.yaml",
    "scipy.sparse.csgraph", "torch", "torchvision", "tqdm",
)  # fmt: skip

# What is called as `python`: stages are handed over, with the standard streams; Python itself does the rest.
PYTHON = """#!{python} -IS
import json, os, socket, sys
if sys.argv[1:2] != ["-m"] or not sys.argv[2].startswith("stages."):
    os.execv("{python}", ["python", *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("{address}")
    socket.send_fds(connection, [b"."], [0, 1, 2])
    connection.sendall(json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode())
    connection.shutdown(socket.SHUT_WR)
    sys.exit(int(connection.recv(16)))
"""


@cache
def folder() -> Path:
    """The folder with this ``python``, once the process behind it runs, which ends with the present one."""
    made = tempfile.TemporaryDirectory(prefix="preloaded-")
    address, file = Path(made.name, "socket"), Path(made.name, "python")
    file.write_text(PYTHON.format(python=sys.executable, address=address))
    file.chmod(0o755)
    command = [sys.executable, "-P", __file__, str(address)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert server.stdout
    assert server.stdout.readline() == b"ready\n"
    atexit.register(made.cleanup)
    atexit.register(server.kill)
    return Path(made.name)


def serve(address: str) -> None:
    """Fork a process for each connection, which forks the stage and waits for its end."""
    for name in LIBRARIES:
        import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the first ones
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(64)
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            if not os.fork():
                break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if stage := os.fork():
        _, status = os.waitpid(stage, 0)
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    run(connection)


def run(connection: socket.socket) -> None:
    """Be the process that was asked for."""
    _, streams, *_ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as sent:
        (module, *arguments), workspace, environment = json.load(sent)
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(workspace)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, workspace)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(sys.argv[1])
