"""Heads of the species, 16 x 14 px, looking to the right, and what moods change in a face."""

from __future__ import annotations

# f fur, d darker fur, l light fur, p pink, m nose or beak, e eyes and mouth, # outline.
HEADS = {
    "rabbit": """
...###....###...
..#fpf#..#fpf#..
..#fpf#..#fpf#..
..#fpf#..#fpf#..
..#fpf####fpf#..
..#ffffffffff#..
.#ffffffffffff#.
.#ffffffffffff#.
.#fffeefffeeff#.
.#fffeefffeeff#.
.#fppffmmmffpp#.
.#fffffemeffff#.
..##ffffffff##..
....########....
""",
    "bear": """
................
..###......###..
.#fff#....#fff#.
.#fpff####ffpf#.
.#ffffffffffff#.
.#ffffffffffff#.
#ffffffffffffff#
#ffffffffffffff#
#ffffeefffeefff#
#ffffeellleefff#
#fffflllllllfff#
.#fffllmmmllff#.
..##flllelll##..
....########....
""",
    "penguin": """
................
................
.....######.....
...##ffffff##...
..#ffffffffff#..
.#ffffffffffff#.
.#fflllfffllff#.
.#flllllflllll#.
.#flleelfleell#.
.#flleelfleell#.
.#fpplmmmmmlpp#.
.#fflllmmmlllf#.
..##llllllll##..
....########....
""",
    "cat": """
..#..........#..
.#f#........#f#.
.#ff#......#ff#.
.#pff#....#ffp#.
.#pfff####fffp#.
.#fffdffdffdff#.
.#fffdffdffdff#.
.#ffffffffffff#.
.#fffeefffeeff#.
.#ffleellleelf#.
##fppllmmmllpp##
.#fffllelellff#.
##.##llllll##.##
....########....
""",
    "fox": """
.##..........##.
.#d##......##d#.
.#ddf#....#fdd#.
.#dlff####ffld#.
.#llffffffffll#.
.#ffffffffffff#.
.#ffffffffffff#.
.#ffffffffffff#.
#ffffeefffeefff#
#llffeefffeelll#
#llllllllllllll#
.#lllllmmmllll#.
..##llllllll##..
....########....
""",
    "turtle": """
................
................
....########....
..##ffdddfff##..
.#ffffffffddff#.
.#fdffffffffff#.
#ffffffffffffff#
#ffffffffffffff#
#ffffeefffeefff#
#ffffeefffeefff#
#fffppefffeppff#
.#fffffeeeffff#.
..##ffffffff##..
....########....
""",
    "owl": """
.##..........##.
.#d#........#d#.
.#dd########dd#.
.#ddffffffffdd#.
.#dfffddddfffd#.
.#ffffffdfffff#.
#fflllllflllllf#
#flllllllllllll#
#fllleellleellf#
#fllleellleellf#
#flllllmmmllllf#
.#fllllmmmlllf#.
..##ffffmfff##..
....########....
""",
}

#: Where the eyes are, 2 x 2 px each, as (row, column).
EYES = ((8, 5), (8, 10))

#: Letters put round an eye (4 x 3 px, from one row above and one column left of it); `,` clears to
#: the colour round the eye.
EYE_MOODS = {
    "happy": (",,,,", ",ee,", "e,,e"),
    "sad": (",,,,", ",,,,", ",ee,"),
    "surprised": (",ee,", ",ee,", ",ee,"),
    "asleep": (",,,,", ",,,,", "eeee"),
}

#: Letters put at the mouth (5 x 2 px at row 11, column 6); `.` leaves what is there.
MOUTH_MOODS = {
    "surprised": (".eee.", ".ere."),
    "talking": ("eeeee", ".err."),
    "sad": ("..ee.", ".e..e"),
}
