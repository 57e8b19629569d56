"""How good a world is: told stories read by probes and by a parser, with intervals."""
