"""Heavy libraries are imported by one thread at a time.

What takes seconds to import is imported by the thread that needs it. Where two threads import
packages whose modules import each other (SQLAlchemy comes with Alembic and with LlamaIndex), the
interpreter avoids a deadlock by handing one of them half a module, and that import fails.
"""

from __future__ import annotations

import threading

#: Hold it around an import of a heavy library outside of a module's head.
alone = threading.RLock()
