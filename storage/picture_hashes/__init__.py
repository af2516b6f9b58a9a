"""Hash pictures so that copies are recognized.

A copy may be turned, mirrored, darker, gray, smaller or cut. A picture has three kinds of hashes:

- The **perceptual hash** has the signs of its lowest frequencies. A rotation by a quarter or a
  mirror image permutes its bits and inverts some of them, so the hash of one orientation gives
  those of all eight (`orientations`). Brightness changes no sign.
- The **symmetric hash** is the same in all eight orientations, so that an index finds it.
- The **local hashes** describe up to 64 spots with their places. A cut picture has some of them,
  and all at the places that one frame explains.

All are computed from the thumbnail or from a picture of about that size.
"""

from sightline.storage.picture_hashes.local_hashes import (
    Spots,
    turn_spots,
    unpack_spots,
)
from sightline.storage.picture_hashes.picture_hash import (
    HASH_EDGE,
    PictureHashes,
    hash_picture,
    nearby,
    orientations,
    turn_hashes,
)
from sightline.storage.picture_hashes.spot_matches import count_matches

__all__ = [
    "HASH_EDGE",
    "PictureHashes",
    "Spots",
    "count_matches",
    "hash_picture",
    "nearby",
    "orientations",
    "turn_hashes",
    "turn_spots",
    "unpack_spots",
]
