"""A worker process: reads requests on its standard input until that ends, answers on its output.

The first frame configures it (import path, preprocessing, limits). Each later frame is one job:
``hash`` (the SHA-256 of a file), ``read`` (a whole file, perhaps sent along) or ``upright`` (a
picture as it is, for a person or a model to see). A job is answered by any number of parts and one
``end`` or ``failed``.
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
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.dispatch import Request, read
from sightline.storage.ingest.decode.worker.image import upright
from sightline.storage.ingest.decode.worker.open_file import Stamp, hash_file
from sightline.storage.ingest.decode.worker.worker_context import Limits, Tools
from sightline.storage.ingest.decode.worker.worker_protocol import Frame, Header, pack, read_frame
from sightline.storage.ingest.discover.file_types import claim

_PR_SET_PDEATHSIG = 1
_PIPE_BYTES = 1 << 20


def main() -> None:
    """Serve until the parent closes the pipe."""
    requests, replies = _take_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to act on
    _die_with_parent()
    first = read_frame(requests)
    if first is None:
        return
    try:
        tools = _configure(*first)
    except Exception:  # noqa: BLE001 - whatever it is, the parent has to be told
        _send(replies, pack({"part": "ready", "error": traceback.format_exc()[-4000:]}))
        return
    _send(replies, pack({"part": "ready"}))
    while (frame := read_frame(requests)) is not None:
        for part in _answer(frame, tools):
            _send(replies, part)


def _peak_kib() -> int:
    """The largest that this process was. Not `getrusage`, where Linux can tell: that counts what
    the parent was when it started us.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _send(replies: BinaryIO, frame: list[bytes | memoryview]) -> None:
    replies.writelines(frame)
    replies.flush()


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes for ourselves: what a C library prints must not stand between frames."""
    requests = os.fdopen(os.dup(0), "rb", buffering=1 << 20)
    replies = os.fdopen(os.dup(1), "wb", buffering=1 << 20)
    if sys.platform == "linux":  # room for a picture: one switch between processes, not four
        with contextlib.suppress(OSError):  # over the limit of an unprivileged user
            fcntl.fcntl(replies.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return requests, replies


def _die_with_parent() -> None:
    """On Linux, end even in the middle of a decoder that hangs, when the parent is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _configure(header: Header, blobs: list[bytes]) -> Tools:
    sys.path[:] = header["import_path"]
    limits = Limits(**header["limits"])
    if sys.platform == "linux":  # elsewhere the address space cannot be limited usefully
        bytes_ = limits.memory_mib << 20
        resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Image.MAX_IMAGE_PIXELS = None  # ours is checked first, and says the limit in its error
    Image.preinit()
    # From the parent alone, before the first hostile byte.
    preprocess, reader = pickle.loads(blobs[0])  # noqa: S301
    return Tools(preprocess, limits, reader)


def _answer(frame: Frame, tools: Tools) -> Iterator[list[bytes | memoryview]]:
    header, blobs = frame
    limits = tools.limits
    tools.spent.clear()
    started = time.perf_counter()
    try:
        if header["job"] == "hash":
            film = claim(header["path"]) == "video"
            most_bytes = limits.max_video_bytes if film else limits.max_file_bytes
            digest, stamp = hash_file(header["path"], most_bytes)
            end: Header = {
                "sha256": digest.hex(),
                "stamp": [stamp.size, stamp.modified_ns, stamp.inode],
            }
        elif header["job"] == "upright":
            image = upright(blobs[0], limits.max_pixels, edge=header["edge"])
            size: Header = {"part": "upright", "width": image.width, "height": image.height}
            yield pack(size, [image.tobytes()])
            end = {}
        else:
            request = Request(
                name=header["name"],
                path=header["path"],
                data=blobs[0] if blobs else None,
                sha256=bytes.fromhex(header["sha256"]),
                stamp=Stamp(*header["stamp"]) if header["stamp"] else None,
                look_only=header["look_only"],
                ocr=header.get("ocr", "off"),
                tiles=header.get("tiles", False),
                unread=tuple(header.get("unread", ())),
                subtitles=header.get("subtitles", False),
            )
            end = yield from read(request, tools)
    except MediaError as error:
        end = {"failed": error.code, "message": str(error)}
    except MemoryError:
        end = {"failed": "out_of_memory", "message": f"needs over {limits.memory_mib} MiB"}
    except Exception as error:  # noqa: BLE001 - a hostile file makes decoders raise anything
        message = f"cannot be decoded: {type(error).__name__}: {error}"
        end = {
            "failed": "broken",
            "message": message[:500],
            "trace": traceback.format_exc()[-4000:],
        }
    end["part"] = "end"
    end["spent"] = tools.spent
    end["seconds"] = time.perf_counter() - started
    end["peak_kib"] = _peak_kib()
    yield pack(end)


if __name__ == "__main__":
    main()
