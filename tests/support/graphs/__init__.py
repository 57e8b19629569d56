"""The example workflows as data, and what turns them into the files in ``workflows/``."""
