"""Shapes of the scenery, as letters: houses, things and plants of a place."""

from __future__ import annotations

# The letters are told in `scenery_sky`.
PLACE_SHAPES = {
    "house": """
...........nnn..
......nn...qqq..
.....nnnn..qqq..
....nnqqnn.qqq..
...nnqqqqnnqqq..
..nnqqqqqqnnqq..
.nnqqqqqqqqnnq..
nnqqqqqqqqqqnn..
nqqqqqqqqqqqqnn.
qqqqqqqqqqqqqqqq
.mmmmmmmmmmmmmm.
.mmmmmmmmmmmmmm.
.mxxxxxmmxxxxmm.
.mxyxyxmmxwwxmm.
.mxyxyxmmxwwxmm.
.mxxxxxmmxwwxmm.
.mxyxyxmmxwwxmm.
.mxxxxxmmxwYxmm.
.mmmmmmmmxwwxmm.
.mmmmmmmmxwwxmm.
.mmmmmmmmxwwxmm.
.ccccccccxwwxcc.
.ccccccccxwwxcc.
.ccccccccccccccc
""",
    "reeds": """
..w.....
..w..w..
..w..w..
..x..w..
..lw.x..
..lw.l..
l.lw.l.l
l.lx.l.l
l.ll.l.l
lll.ll.l
.ll.ll.l
.lll.lll
.lll.ll.
..ll.ll.
..llll..
..llll..
""",
    "pier": """
wwwwwwwwwwwwwwwwwwwwwwww
wxwwwxwwwxwwwxwwwxwwwxww
xxxxxxxxxxxxxxxxxxxxxxxx
..xx......xx......xx....
..xx......xx......xx....
..xx......xx......xx....
..xx......xx......xx....
""",
    "sail": """
...W....
...WW...
...WWW..
...WWWW.
...WWWWW
...x....
RRRRRRRR
.RRRRRR.
""",
    "fence": """
..ss....
.ssss...
.ssss...
.ssss...
ssssssss
ssssssss
.ssss...
.ssss...
.ssss...
.ssss...
ssssssss
ssssssss
.ssss...
.ssss...
.ssss...
.ssss...
""",
    "sunflower": """
...YY...
.YYYYYY.
.YYxxYY.
YYxxxxYY
YYxxxxYY
.YYxxYY.
.YYYYYY.
...ll...
...ll...
.l.ll...
.lllll..
...ll.l.
...llll.
...ll...
...ll...
...ll...
""",
    "bed": """
.l....l.
.ll..ll.
..l..l..
..RRRR..
xxRRRRxx
xxxRRxxx
wxxxxxxw
xxwxxwxx
""",
    "flowers": """
..R.....
.RYR....
..R..W..
..l.WYW.
..l..W..
.....l..
.....l..
........
""",
    "tuft": """
........
........
...h....
.h.h.h..
.h.h.h..
..hhh...
........
........
""",
    "mushroom": """
........
..RRR...
.RWRRR..
.RRRWR..
...W....
...W....
........
........
""",
    "shell": """
........
........
........
...WW...
..WKKW..
..KWWK..
...KK...
........
""",
    "pebbles": """
........
........
........
.....cc.
....cccc
.c......
ccc.....
........
""",
    "cobbles": """
pppcpppp
pppcpppp
pppcpppp
cccccccc
pppppppc
pppppppc
pppppppc
cccccccc
""",
    "waves": """
........
.ff.....
f..fff..
........
........
.....ff.
ff..f..f
........
""",
    "stove": """
....cc..........
....cc..........
....cc..........
....cc..........
....cc..........
....cc..........
....cc...RRRR...
....cc..RRRRRR..
cccccccccccccccc
cccccccccccccccc
.rrrrrrrrrrrrrr.
.rrcrrcrrcrrcrr.
.rrrrrrrrrrrrrr.
.rccccccccccccr.
.rcyyyyyyyyyycr.
.rcyyyyyyyyyycr.
.rcoyyooyyooycr.
.rcooooooooooocr
.rcoooooooooocr.
.rccccccccccccr.
.rrrrrrrrrrrrrr.
.rrrrrrrrrrrrrr.
.cccccccccccccc.
.cc..........cc.
""",
    "shelf": """
................
..RR..WW..ll....
.RRRR.WW.llll.ee
.RRRR.WW.llll.ee
.RRRR.WW.llll.ee
wwwwwwwwwwwwwwww
xxxxxxxxxxxxxxxx
.x............x.
""",
    "tiles": """
wwwwwwww
wwwwwwww
wwwwwwww
wwwwwwww
wwwwwwww
wwwwwwww
wwwwwwww
xxxxxxxx
""",
    "paper": """
mmmmmmmm
mmmmmmmm
mmmpmmmm
mmpppmmm
mmmpmmmm
mmmmmmmm
mmmmmmmm
mmmmmmmm
""",
}
