"""iBUG points of the Basel Face Models by vertex, as eos lists them (github.com/patrikhuber/eos, share/, Apache-2.0).

Some points are missing in its lists, the jaw above all. Numbers here are 0-based, those of eos 1-based.
"""

from __future__ import annotations


def _points(text: str) -> dict[int, int]:
    pairs = (pair.split("=") for pair in text.split())
    return {int(number) - 1: int(vertex) for number, vertex in pairs}


BFM_2009 = _points(
    "18=38792 20=40087 22=40514 23=41091 25=41511 27=42825 31=8319 34=8334 37=2088 40=5959 43=10603 46=14472 "
    "49=5006 52=8344 55=11714 58=8374 63=8354 67=8366"
)
"""Of the 53,490 vertices of 01_MorphableModel.mat: ibug_to_bfm.txt."""

BFM_2017_NOMOUTH = _points(
    "9=47846 31=8156 37=2602 40=5830 43=10390 46=13481 49=5522 50=6026 51=7355 52=8181 53=9007 54=10329 55=10857 "
    "56=9730 57=8670 58=8199 59=7726 60=6898 61=6291 62=7364 63=8190 64=9016 65=10088 66=8663 67=8191 68=7719"
)
"""Of the 53,149 vertices of model2017-1_bfm_nomouth.h5: ibug_to_bfm2017-1_bfm_nomouth.txt."""
