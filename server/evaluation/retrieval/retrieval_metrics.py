"""How good a ranking is, by the measures of the field, computed by trec_eval's code.

nDCG@10 (Järvelin and Kekäläinen 2002) with the grades as gains; recall: the share of what is right
(grade 1 and above) among the first k; MRR: one over the place of the first that is right, of the
whole list (the first 100).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir_measures
import numpy as np
from ir_measures import RR, R, nDCG
from numpy.typing import NDArray

Values = NDArray[np.float64]

#: By the name that reports give them; the first is the one that decides.
MEASURES = {"nDCG@10": nDCG @ 10, "R@1": R @ 1, "R@5": R @ 5, "R@10": R @ 10, "MRR": RR}


def score(
    rankings: Mapping[str, Sequence[str]], grades: Mapping[str, Mapping[str, int]]
) -> dict[str, Values]:
    """Each measure of each query, of shape (len(grades),) in the order of ``grades``.

    Both by the query's id; a query without a ranking scores 0. ``grades`` are of keys, 0 and up.
    """
    places = {id_: place for place, id_ in enumerate(grades)}
    found = {name: np.zeros(len(grades)) for name in MEASURES}
    names = {measure: name for name, measure in MEASURES.items()}
    run = {
        id_: {key: float(-place) for place, key in enumerate(rankings.get(id_, ()))}
        for id_ in grades
    }
    wanted = {id_: dict(each) for id_, each in grades.items()}
    for metric in ir_measures.iter_calc(list(names), wanted, run):
        found[names[metric.measure]][places[metric.query_id]] = metric.value
    return found
