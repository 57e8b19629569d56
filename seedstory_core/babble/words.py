"""The tokenizer of the babbling world: sentencepiece over a few dozen words, made on the spot.

Files have the layout that transformers 4.34 writes for the released model: 66 tokens for pictures
are added behind the sentencepiece vocabulary.
"""

from __future__ import annotations

import io
from pathlib import Path

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from ..files import atomic_write_bytes, atomic_write_json

PIECES = 896  # enough that nearly every word below is one piece
IMAGE_TOKENS = ("<img>", "</img>", *(f"<img_{index:05d}>" for index in range(64)))

SENTENCES = """
The small fox sat on the hill and looked at the quiet moon.
A red boat sailed over the wide blue sea in the evening wind.
The old bear made soup and bread for all the hungry friends.
In the morning a yellow kite flew high above the little house.
The rabbit found a golden key under the tall tree in the garden.
Then the frog jumped into the cold river and laughed aloud.
They walked through the dark forest with a bright lantern.
Soon the snow began to fall on the sleeping village below.
She gave him a warm scarf and they danced near the fire.
He opened the green door and saw a strange silver light.
Far away the penguin sang a song about the stars and the rain.
The cat wanted to know what the owl had hidden in the box.
Nobody heard the wind, but the wise owl smiled and waved.
At night the moon slept in a basket full of apples and clouds.
"Come with me," said the mouse, "we will build a bridge of paper!"
When the sun came out, the whole mountain turned pink and orange.
Our friends shared a cake, a map and one umbrella on the long road home.
Why did the train stop? A sheep stood there and read a book.
Again and again the clock rang, and the balloon rose over the roofs.
Finally everybody was happy, and the story went on behind the door.
"""


def write_tokenizer(folder: Path) -> SentencePieceProcessor:
    """Train on `SENTENCES` and write the four files; the same bytes each time."""
    buffer = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES.strip().split("\n") * 8),
        model_writer=buffer,
        vocab_size=PIECES,
        hard_vocab_limit=False,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    atomic_write_bytes(folder / "tokenizer.model", buffer.getvalue())
    processor = SentencePieceProcessor(model_proto=buffer.getvalue())
    _write_settings(folder, processor.get_piece_size())
    return processor


def _write_settings(folder: Path, pieces: int) -> None:
    special = {"<unk>": 0, "<s>": 1, "</s>": 2}
    added = {token: pieces + index for index, token in enumerate(IMAGE_TOKENS)}
    plain = {"normalized": False, "lstrip": False, "rstrip": False, "single_word": False}
    decoder = {str(id): {"content": text, **plain, "special": True} for text, id in special.items()}
    for text, id in added.items():
        swallowing = {"normalized": True, "lstrip": True, "rstrip": True, "special": False}
        decoder[str(id)] = {"content": text, **plain, **swallowing}
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>", "unk_token": "<unk>"}
    settings = {
        "add_bos_token": True,
        "add_eos_token": False,
        "added_tokens_decoder": decoder,
        "additional_special_tokens": [],
        "clean_up_tokenization_spaces": False,
        "legacy": True,
        "model_max_length": 4096,
        "sp_model_kwargs": {},
        "spaces_between_special_tokens": False,
        "tokenizer_class": "LlamaTokenizer",
        "use_default_system_prompt": True,
        **names,
    }
    atomic_write_json(folder / "added_tokens.json", dict(sorted((special | added).items())))
    atomic_write_json(folder / "tokenizer_config.json", settings)
    atomic_write_json(folder / "special_tokens_map.json", names)
