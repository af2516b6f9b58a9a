"""Worker process: requests on standard input, messages on standard output.

The first frame configures the worker (import path, preprocessing, limits). Each later frame is one
request. The answer is any number of parts and one `JobEnd`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import frames
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.dispatch import run_request
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.ingest_options import IngestOptions

_PR_SET_PDEATHSIG = 1
_PIPE_BYTES = 1 << 20


def main() -> None:
    """Serve requests until the parent closes the pipe."""
    requests, replies = _take_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    if sys.platform == "linux":  # end with the parent, even inside a decoder that hangs
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    first = frames.read_frame(requests)
    if first is None:
        return
    try:
        context = _configure(first)
    except Exception:  # noqa: BLE001 - the parent must know, whatever it is
        _send(replies, messages.WorkerReady(error=traceback.format_exc()[-4000:]))
        return
    _send(replies, messages.WorkerReady())

    def send_alive() -> None:
        with context.clock.stopped():
            _send(replies, messages.WorkerAlive())

    context.send_alive = send_alive
    while (values := frames.read_frame(requests)) is not None:
        for message in _answer(values, context):
            with context.clock.stopped():
                _send(replies, message)


def _peak_rss_kib() -> int:
    """Return the peak resident size of this process.

    On Linux not from `getrusage`, which includes the parent's size at the fork.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _send(replies: BinaryIO, message: messages.WorkerMessage) -> None:
    replies.writelines(frames.pack_message(message))
    replies.flush()


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes private: output of C libraries must not corrupt the frames."""
    requests = os.fdopen(os.dup(0), "rb", buffering=1 << 20)
    replies = os.fdopen(os.dup(1), "wb", buffering=1 << 20)
    if sys.platform == "linux":  # one context switch per image instead of four
        with contextlib.suppress(OSError):  # above the limit of an unprivileged user
            fcntl.fcntl(replies.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return requests, replies


def _configure(values: dict[str, Any]) -> WorkerContext:
    sys.path[:] = values["import_path"]
    limits = IngestOptions(**values["limits"])
    if sys.platform == "linux":  # other systems have no useful limit on the address space
        max_bytes = limits.worker_limit_mib << 20
        resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Pillow refuses twice as many: for pictures inside of pictures, whose size nobody else checks.
    Image.MAX_IMAGE_PIXELS = max(1, limits.max_pixels // 2)
    Image.preinit()
    # From the parent only, before any hostile byte.
    preprocess, ocr_engine = pickle.loads(values["code"])  # noqa: S301
    return WorkerContext(preprocess, limits, ocr_engine)


def _answer(values: dict[str, Any], context: WorkerContext) -> Iterator[messages.WorkerMessage]:
    context.stage_seconds.clear()
    context.clock.restart()
    code, message, trace = None, "", None
    try:
        yield from run_request(frames.parse_request(values), context)
    except MediaError as error:
        code, message = error.code, str(error)
    except MemoryError:
        code, message = "out_of_memory", f"needs more than {context.limits.worker_limit_mib} MiB"
    except Exception as error:  # noqa: BLE001 - decoders raise anything on hostile files
        code = "broken"
        message = f"cannot be decoded: {type(error).__name__}: {error}"[:500]
        trace = traceback.format_exc()[-4000:]
    yield messages.JobEnd(
        seconds=context.clock.seconds,
        stage_seconds=dict(context.stage_seconds),
        peak_rss_kib=_peak_rss_kib(),
        code=code,
        message=message,
        traceback=trace,
    )


if __name__ == "__main__":
    main()
