"""A seeded fuzzer: hostile inputs of every kind that the library reads from strangers.

`harness` runs them in forked children, `watch` measures one, `odd`, `damage`, `zips`, `tensors`,
`pictures` and `documents` make them, `kinds` says what is made and what reads it. docs/FUZZING.md
tells what came of it. ``python -m tests.fuzz --help`` runs it.
"""
