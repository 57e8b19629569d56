"""Picture World: a small picture-book world, drawn and told by rules."""
