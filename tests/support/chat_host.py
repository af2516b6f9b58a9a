"""The page of a chat with the reference host bridge of MCP Apps, built from `host.ts`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sightline.server import web as web_package

_APP = Path(web_package.__file__).resolve().parent / "app"
_MODULES = _APP / "node_modules"
_SOURCE = Path(__file__).parents[1] / "server" / "web" / "host" / "host.ts"
#: True if the npm packages of the web app are installed.
CAN_BUILD = (_MODULES / "vite").is_dir()


def build(folder: Path) -> str:
    """Return the script that defines ``host``; ``folder`` is for its files."""
    config = folder / "vite.config.mjs"
    # Beside the packages, because imports are resolved from the folder of the file.
    entry = _APP / "host-for-tests.ts"
    config.write_text(
        f"""export default {{
            root: {str(_APP)!r}, configFile: false, logLevel: "error",
            resolve: {{ preserveSymlinks: true }},
            build: {{ outDir: {str(folder)!r}, emptyOutDir: false, minify: false,
                lib: {{ entry: {str(entry)!r}, formats: ["es"], fileName: "host" }} }} }};"""
    )
    entry.write_text(_SOURCE.read_text())
    try:
        command = ["node", str(_MODULES / "vite" / "bin" / "vite.js"), "build", "-c", str(config)]
        subprocess.run(command, cwd=_APP, check=True, capture_output=True, timeout=120)
    finally:
        entry.unlink()
    (script,) = folder.glob("host*.js")
    return script.read_text()
