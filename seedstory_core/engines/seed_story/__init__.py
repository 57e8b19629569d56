"""SEED-Story (arXiv 2407.08683): a multimodal LLM tells captions and picture features in turns."""
