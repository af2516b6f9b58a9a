"""Convert documents with LibreOffice, in a process that ends with the worker.

The process has a profile of its own, no macros, no links to other files and no network: it is in a
network namespace without interfaces where the system allows that, and has a dead proxy elsewhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sightline.storage.errors import MediaError
from sightline.storage.files import write_private
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.formats import FileFormat

CONVERTED = {
    "Word 97-2003": ("docx", "application/msword"),
    "Excel 97-2003": ("xlsx", "application/vnd.ms-excel"),
    "PowerPoint 97-2003": ("pptx", "application/vnd.ms-powerpoint"),
    "Rich Text Format": ("docx", "application/rtf"),
}
"""What old formats are converted to, and their MIME types."""
WITH_PAGES = {
    *("Word", "PowerPoint", "OpenDocument text", "OpenDocument presentation"),
    *("Word 97-2003", "PowerPoint 97-2003", "Rich Text Format"),
}
"""Formats whose pages are shown."""
_FIRST_PAGE = 100_000  # the ordinal of a page image; those of pictures in the document are smaller
_CONVERT_SECONDS = 120.0
_PROGRAMS = ("soffice", "libreoffice")
_RESTART = 81  # the exit code after it has made its profile
_MAX_OUTPUT_BYTES = 256 << 20
_POLL_SECONDS = 0.2
_FOLDER_PREFIX = "sightline-office-"
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SETTINGS = {
    "Office.Common/Security/Scripting": {
        "DisableMacrosExecution": "true",
        "BlockUntrustedRefererLinks": "true",
        "MacroSecurityLevel": "3",
    },
    "Inet/Settings": {
        "ooInetProxyType": "2",
        "ooInetHTTPProxyName": "127.0.0.1",
        "ooInetHTTPProxyPort": "9",
        "ooInetHTTPSProxyName": "127.0.0.1",
        "ooInetHTTPSProxyPort": "9",
        "ooInetFTPProxyName": "127.0.0.1",
        "ooInetFTPProxyPort": "9",
    },
}


def find_libre_office() -> Path | None:
    """Return the program of LibreOffice, None if it is not installed."""
    for name in _PROGRAMS:
        if found := shutil.which(name):
            program = Path(found).resolve().parent / "soffice.bin"
            if program.is_file():
                return program
    return None


def page_image_parts(
    data: bytes, known: FileFormat, request: messages.DecodeRequest, context: WorkerContext
) -> Iterator[messages.JobPart]:
    """Yield the pages of a document as they are printed; without them, a warning."""
    if known.name not in WITH_PAGES or request.metadata_only:
        return
    from sightline.storage.ingest.decode.worker.pdf.pages import page_images

    left = min(_CONVERT_SECONDS, request.work_seconds - context.clock.seconds)
    try:
        pdf = convert(data, known.suffixes[0], "pdf", left, context.report_alive)
        yield from page_images(pdf, context, request, _FIRST_PAGE)
    except MediaError as error:
        yield messages.PartWarning(code="pages_missing", reason=f"has no page images: it {error}")


def convert(
    data: bytes, suffix: str, target: str, seconds: float, report_alive: Callable[[], None]
) -> bytes:
    """Return a document in another format, such as ``pdf``.

    ``suffix`` is that of the document. Raises MediaError ``unsupported``, ``broken`` or
    ``timeout``.
    """
    program = find_libre_office()
    if program is None:
        raise MediaError("unsupported", "needs LibreOffice, which is not installed")
    _remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-") as name:
        folder = Path(name)
        write_private(folder / f"document{suffix}", data)
        _write_profile(folder / "profile" / "user")
        command = [
            str(program),
            f"-env:UserInstallation=file://{folder}/profile",
            *("--headless", "--norestore", "--nologo", "--nodefault", "--nolockcheck"),
            *("--convert-to", target, "--outdir", f"{folder}/out", f"{folder}/document{suffix}"),
        ]
        deadline = time.monotonic() + seconds
        if _run(command, folder, deadline, report_alive) == _RESTART:
            _run(command, folder, deadline, report_alive)
        result = folder / "out" / f"document.{target}"
        if not result.is_file():
            raise MediaError("broken", "cannot be read by LibreOffice")
        if result.stat().st_size > _MAX_OUTPUT_BYTES:
            raise MediaError("too_large", f"becomes more than {_MAX_OUTPUT_BYTES:,} bytes")
        return result.read_bytes()


def _remove_abandoned() -> None:
    """Remove the documents of workers that were killed, which could not remove them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*-*"):
        number = folder.name.removeprefix(_FOLDER_PREFIX).partition("-")[0]
        try:
            status = folder.lstat()
            is_old = time.time() - status.st_mtime > _CONVERT_SECONDS  # also in another container
            if not (stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and is_old):
                continue
            os.kill(int(number), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (OSError, ValueError, OverflowError):
            continue  # a folder of somebody else


def _run(
    command: list[str], folder: Path, deadline: float, report_alive: Callable[[], None]
) -> int:
    process = subprocess.Popen(  # noqa: S603 - a fixed program; the document is data
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={"HOME": str(folder), "PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"},
        preexec_fn=_confine,  # noqa: PLW1509 - the worker has one thread
    )
    try:
        while (status := process.poll()) is None:
            if time.monotonic() > deadline:
                raise MediaError("timeout", "takes too long in LibreOffice")
            report_alive()
            time.sleep(_POLL_SECONDS)
        return status
    finally:
        with contextlib.suppress(OSError):
            process.kill()
        process.wait()


def _confine() -> None:
    """End with the worker, write no large files, and reach no network if possible."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_OUTPUT_BYTES, _MAX_OUTPUT_BYTES))
    library = ctypes.CDLL(None)
    if not hasattr(library, "prctl"):  # not Linux
        return
    if library.unshare(_CLONE_NEWNET) != 0:
        library.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    library.prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def _write_profile(folder: Path) -> None:
    items = "".join(
        f'<item oor:path="/org.openoffice.{path}"><prop oor:name="{name}" oor:op="fuse">'
        f"<value>{value}</value></prop></item>"
        for path, values in _SETTINGS.items()
        for name, value in values.items()
    )
    folder.mkdir(parents=True)
    write_private(
        folder / "registrymodifications.xcu",
        '<?xml version="1.0" encoding="UTF-8"?><oor:items '
        'xmlns:oor="http://openoffice.org/2001/registry" '
        'xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">{items}</oor:items>',
    )
