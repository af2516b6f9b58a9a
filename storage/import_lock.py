"""Lock for slow imports in threads."""

import threading

#: Hold it to import a slow library in a thread. If two threads import packages that import each
#: other, Python avoids a deadlock with a half-initialized module, and one import fails.
import_lock = threading.RLock()
