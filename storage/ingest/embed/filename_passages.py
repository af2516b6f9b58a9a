"""The words in a file's name: ``site_plan_A12.pdf`` is found by "A12 site plan"."""

from __future__ import annotations

import posixpath
import re

from sightline.storage.ingest.ingest_items import PassageDraft
from sightline.storage.text.analyzer import analyze

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def name_passage(name: str) -> PassageDraft:
    """The passage of a source's name: the file's alone, for folders say little of it.

    Analysed without what joins it, so that ``SitePlan`` is two words, ``A12.pdf`` a part number and
    a kind of file, and ``LGA1700-bracket`` both one name and two. It gets no vector: names
    are looked for as they are written.
    """
    base = posixpath.basename(name)
    stem, suffix = posixpath.splitext(base)
    apart = _CAMEL.sub(" ", stem)
    words = dict.fromkeys([apart, apart.replace("-", " "), suffix.removeprefix(".")])
    return PassageDraft("name", 0, base, analysis=analyze(" ".join(words)))
