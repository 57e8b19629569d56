"""Props, the signs over the heads and the accessories, in colours that never change."""

from __future__ import annotations

PROPS_ART = {
    "ball": """

.....######.....
...##rrwwww##...
..#rrrrwwwwww#..
.#rrrrrwwwwwbb#.
.#rrrrrwwwwbbb#.
#wwrrrryywbbbbb#
#wwwwryyyybbbbb#
#wwwwwyyyybbwww#
#bbwwwwyyrrwwww#
#bbbbbwwrrrrwww#
.#bbbbwwrrrrrw#.
.#bbbbwwrrrrr#..
..#bbwwwrrrr#...
...##wwwwr##....
.....######.....
""",
    "lantern": """
......####......
.....#....#.....
.....#....#.....
....########....
...#SSSSSSSS#...
...##########...
...#yywwwwyy#...
...#ywwoowwy#...
...#ywooooww#...
...#yworroww#...
...#ywoooowy#...
...#yywoowyy#...
...#yyyyyyyy#...
..############..
..#SSSSSSSSSS#..
..############..
""",
    "basket": """
.....######.....
...##nnnnnn##...
..#nn######nn#..
..#n#......#n#..
.#n#.##.##..#n#.
.#n##gg#gg#.#n#.
.##rr#rrr#rr##..
##rrrrrrrrrrrr##
#tttttttttttttt#
################
#tnttntttntttnt#
.#ttnttntttntt#.
.#nnnnnnnnnnnn#.
.#tnttntttntnt#.
..#tttttttttt#..
..############..
""",
    "umbrella": """
.......##.......
.....######.....
...##kkvvkk##...
..#kkkvvvvkkk#..
.#kkkkvvvvkkkk#.
#kkkkvvvvvvkkkk#
#kkkkvvvvvvkkkk#
#k##kv#vv#vk##k#
##..##.##.##..##
.......##.......
.......##.......
.......##.......
.......##.......
.......##..##...
.......##..##...
........####....
""",
    "kite": """
.......##.......
......#cy#......
.....#ccyy#.....
....#cccyyy#....
...#ccccyyyy#...
..#cccccyyyyy#..
..#yyyyyccccc#..
...#yyyycccc#...
....#yyyccc#....
.....#yycc#.....
......#yc#......
.......##.......
......#..##.....
.....rr#rr.#....
.....rr#rr.#....
..........#.....
""",
    "book": """



..####....####..
.#wwww#..#wwww#.
#bwwwww##wwwwwb#
#bwSSww##wwSSwb#
#bwwwww##wwwwwb#
#bwSSSw##wSSSwb#
#bwwwww##wwwwwb#
#bwSSww##wwSSwb#
#bwwwww##wwwwwb#
#bb#www##www#bb#
#bbb###bb###bbb#
.##bbbb##bbbb##.
...####..####...
""",
    "key": """
...######.......
..#yyyyyy#......
.#yyyyyyyy#.....
#yyy####yyy#....
#yy#....#yy#####
#yy#....#yyyyyy#
#yy#....#yyyyyy#
#yyy####yyy#yY##
.#YYyyyyYY##yY#.
..#YYYYYY###yYY#
...######..#YYY#
...........#####
""",
    "cake": """
......#oo#......
......#oo#......
.......ww.......
.......ww.......
...##########...
..#rrkkrrkkrr#..
.#kkkkkkkkkkkk#.
.#kkwkkkwkkkwk#.
.#kwwwkwwwkwww#.
.#uuuuuuuuuuuu#.
.#nnnnnnnnnnnn#.
.#uuuuuuuuuuuu#.
.#uuuuuuuuuuuu#.
################
#WWWWWWWWWWWWWW#
.##############.
""",
}

#: Where a held thing shows its holder's paw.
PAW = """
###.
ffl#
fll#
###.
"""

#: 8 x 8 px, drawn in the cell above the head's cell on the side the figure looks to.
SIGNS = {
    "happy": """
.##.##..
#rr#rr#.
#rwrrr#.
#rrrrr#.
.#rrr#..
..#r#...
...#....
""",
    "sad": """
...##...
...##...
..#cb#..
.#cbbb#.
.#wbbb#.
.#bbbb#.
..#bb#..
...##...
""",
    "surprised": """
.######.
#yy##yy#
#yy##yy#
#yy##yy#
#yyyyyy#
#yy##yy#
#yyyyyy#
.######.
""",
    "talking": """
.######.
#wwwwww#
#wbbbbw#
#wwwwww#
#wbbbww#
#wwwwww#
##ww###.
.##.....
""",
    "sleep": """
########
#wwwwww#
#wwwwww#
####ww##
.##ww##.
##ww####
#wwwwww#
########
""",
}

#: Each begins at the top of the head's box, 16 px wide; the row is where its art begins.
ACCESSORIES: dict[str, tuple[int, str]] = {
    "scarf": (
        13,
        """
..############..
.#rrrrrrrrrrrr#.
.#RrrRrrrRrrRr#.
..##rrr#######..
...#rrR#........
...#rrr#........
...##r##........
""",
    ),
    "hat": (
        0,
        """
....########....
....#yyyyyy#....
....#yyyyyy#....
...##YYYYYY##...
..#yyyyyyyyyy#..
..############..
""",
    ),
    "bobble": (
        0,
        """
.......##.......
......#ww#......
....##gwwg##....
...#gggggggg#...
..#ggGggGggGg#..
..#gGggGggGgg#..
.#wwwwwwwwwwww#.
""",
    ),
    "bow": (
        13,
        """
..###......###..
..#vvv#..#vvv#..
..#vvvV##Vvvv#..
..#vvvVvvVvvv#..
..#vvv#VV#vvv#..
..###..##..###..
""",
    ),
    "cape": (
        13,
        """
..############..
.#bbbbbyybbbbb#.
#bbbbb#yy#bbbbb#
#bbbb#....#bbbb#
#bbb#......#bbb#
.##..........##.
""",
    ),
    "flower": (
        0,
        """
..##.##.........
.#kk#kk#........
.#kkkkk#........
#kkyyykk#.......
.#kyyyk#........
#kkyyykk#.......
.#kkkkk#........
.#kk#kk#........
..##.##.........
""",
    ),
    "glasses": (
        7,
        """
...cccccccccccc.
..cc....c....cc.
...c....c....c..
...cccccccccccc.
""",
    ),
}
