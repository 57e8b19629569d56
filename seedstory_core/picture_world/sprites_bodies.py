"""Bodies of the poses and tails of the species, recoloured for everyone."""

from __future__ import annotations

# f fur, d darker fur, l light fur, t feet, # outline, . clear; w and y are sparkle and dust.
# A body is drawn behind the head in a box of 16 x 24 px; the art begins at the row given.
BODIES: dict[str, tuple[int, str]] = {
    "stand": (
        12,
        """
....########....
....#ffffff#....
..###ffllff###..
.#ff#ffllll#ff#.
.#ff#fllllf#ff#.
.#ff#fllllf#ff#.
..##ffllllff##..
...#fffllfff#...
...#ffffffff#...
...#fff##fff#...
..#ttt#..#ttt#..
..#####..#####..
""",
    ),
    "walk": (
        12,
        """
....########....
....#ffffff#....
...##ffllff#.##.
.##f#ffllll##ff#
#fff#fllllfffff#
#ff##fllllff###.
.##.#fllllf#....
...#ffffffff##..
..#ffff##ffff#..
.#fff#...#fff##.
.#ttt#....#tttt#
..###......####.
""",
    ),
    "wave": (
        12,
        """
....########....
....#ffffff#....
..###ffllff#....
.#ff#ffllll#....
.#ff#fllllf#....
.#ff#fllllf#....
..##ffllllff#...
...#fffllfff#...
..#ffffffffff#..
.#ffff####ffff#.
#tttt#....#tttt#
######....######
""",
    ),
    "jump": (
        12,
        """
....########....
....#ffffff#....
...#fffllfff#...
...#ffllllff#...
..##ffllllff##..
.#ffffllllffff#.
.#fff######fff#.
#ttt#......#ttt#
#ttt#......#ttt#
.###........###.
""",
    ),
    "sit": (
        16,
        """
...#ffffffff#...
..#ffflllfff#...
.##ffllllff###..
#ff#flllll#fff#.
#ff#flllll#fff#.
.###fffffff##...
....########....
""",
    ),
    "sleep": (
        11,
        """
.....######.....
...##ffffff##...
..#ffffffffff#..
.#ffffffffffff#.
.#ffffffffffff#.
#ffffffffffffff#
#ffffffffffffff#
#ffffffffffffff#
#ffffffffffffff#
#ffffffffffffff#
#ffffffffffffff#
.#ffffffffffff#.
..############..
""",
    ),
}

#: Arms and legs drawn before head and accessory: (row, column, art).
ARMS: dict[str, tuple[tuple[int, int, str], ...]] = {
    "walk": (
        (
            15,
            9,
            """
.####..
#fffff#
#fffll#
.#####.
""",
        ),
        (
            20,
            0,
            """
W...
....
WW..
WWW.
""",
        ),
    ),
    "wave": (
        (
            0,
            8,
            """
.y..###.
ywy#fff#
.y.#flf#
...#fll#
...#lll#
...##ff#
....#ff#
....#ff#
....#ff#
....#ff#
....#ff#
....#ff#
...#ff#.
...#ff#.
...###..
""",
        ),
    ),
    "sit": (
        (
            20,
            0,
            """
.#####....#####.
#tltlt####tltlt#
#ttttt#ff#ttttt#
.##############.
""",
        ),
    ),
    "sleep": (
        (
            20,
            0,
            """
##............##
#f#..........#f#
#lf###....###fl#
.##############.
""",
        ),
    ),
    "jump": (
        (
            5,
            0,
            """
.##.
#ff#
#ff#
#ff#
#ff#
.#ff
.#ff
..#f
..#f
...#
""",
        ),
        (
            5,
            12,
            """
.##.
#ff#
#ff#
#ff#
#ff#
ff#.
ff#.
f#..
f#..
#...
""",
        ),
    ),
}

#: What a species has behind its body, at the left edge: (row, column, art).
TAILS: dict[str, tuple[int, int, str]] = {
    "rabbit": (
        17,
        0,
        """
.##..
#ll#.
#lll#
.##..
""",
    ),
    "cat": (
        13,
        0,
        """
##...
#f#..
#f#..
#d#..
#f##.
#ffff
.####
""",
    ),
    "fox": (
        15,
        0,
        """
.##...
#ll##.
#lll#.
#llf#.
#fff##
#ffff#
.#fff#
..####
""",
    ),
    "turtle": (
        12,
        0,
        """
..####.
.#sSss#
#ssSss#
#SSSSS#
#ssSss#
#ssSss#
#SSSSS#
#ssSss#
.#sSss#
..####.
""",
    ),
}

#: Species whose tail or shell is seen before the body.
TAIL_IN_FRONT = frozenset({"fox", "turtle"})
