"""Images that look alike, such as frames of one scene, found by their perceptual hashes."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

DISTANCE = 3  # bits of 64 in which the hashes of near-duplicates differ at most
BAND_BITS = 16  # of the four bands of a hash: two hashes that differ in 3 bits or fewer share at least one band


def near_duplicate_groups(hashes: np.ndarray) -> np.ndarray:
    """Return the group of each image, int ``[n]`` from 0: images are in one if a chain of near-duplicates links them.

    Args:
        hashes: uint64 ``[n]``, see `strideflax.data.image_decoding.perceptual_hash`.
    """
    unique, place = np.unique(hashes, return_inverse=True)
    firsts, seconds = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for shift in range(0, 64, BAND_BITS):
        band = (unique >> np.uint64(shift)) & np.uint64(2**BAND_BITS - 1)
        order = np.argsort(band, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
            for i in range(len(members) - 1):
                distances = np.bitwise_count(unique[members[i]] ^ unique[members[i + 1 :]])
                alike = members[i + 1 :][distances <= DISTANCE]
                firsts.append(np.full(len(alike), members[i]))
                seconds.append(alike)
    rows, columns = np.concatenate(firsts), np.concatenate(seconds)
    links = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(unique), len(unique)))
    _, groups = connected_components(links, directed=False)
    return groups[place]
