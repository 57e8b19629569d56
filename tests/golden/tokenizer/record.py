"""Records what the slow LlamaTokenizer of transformers 4.34.0 makes of hard texts.

Needs an environment of its own (transformers==4.34.0, sentencepiece, protobuf); run beside this
file: ``python record.py``. Writes llama_4_34.json.
"""

import json
import random
import shutil
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE.parent / "seed_story" / "tokenizer"
TEXTS = [
    "", " ", "  ", "\n", "hello", "  hello  world ", "\thello\n",
    "[INST]George ran.<img><img_00000></img>", " a <img> b </img>  c", "a\n<img>\n\tb", "<img>  ",
    "  <img>", "<img> <img_00000>  </img> x", "<s>hello", "hello</s>", "hello </s> x", "a <s> b",
    "</s></s>", "x <unk> y", "\u2581hello", "a\u2581b", " \u2581 a", "\u65e5\u672c\u8a9e",
    "\U0001f600 emoji", "\u00e9\u00a0x", "\u3000a\u3000<img>\u3000b", "\x1ca<img>\x1cb",
    "<img_00064>", "<img", "<<img>>", "<img><img", "[INST] hi <img> there", "a  b   c",
    'George said: "<hello>" and left.<img>', "\ufb01 \u212b", "x" * 50,
    "<img_00000><img_00001>a<img_00002>", "a</img>[INST] b", "</img>b ", " </s> <img> </s> ",
    "\u200b<img>\u200b", "a\x85<img>\x85b", "<unk><img>", " <unk> hello",
]  # fmt: skip
PARTS = ["a", "George", " ", "  ", "\n", "<img>", "</img>", "<img_00003>", "[INST]", "</s>", "<s>",
         "<unk>", ".", "ran", "\u00e9", "\u2581", "<"]  # fmt: skip
IDS = [0, 1, 2, 3, 4, 90, 262, 263, 264, 273, 300, 363, 363, 375, 400, 401, 402, 465]


def record(name: str) -> dict:
    from transformers import LlamaTokenizer

    random.seed(1)
    texts = TEXTS + ["".join(random.choices(PARTS, k=random.randint(1, 9))) for _ in range(56)]
    rows = [random.choices(IDS, k=random.randint(1, 8)) for _ in range(80)]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
        settings = Path(folder) / "tokenizer_config.json"
        config = json.loads(settings.read_text()) | {"legacy": name != "nonlegacy"}
        if name == "old":  # as files were before transformers 4.34
            del config["added_tokens_decoder"]
        settings.write_text(json.dumps(config))
        tokenizer = LlamaTokenizer.from_pretrained(folder)
    encoded = [(text, tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    return {
        "len": len(tokenizer),
        "encode": [[text, ids, tokenizer.decode(ids)] for text, ids in encoded],
        "decode": [[ids, tokenizer.decode(ids)] for ids in rows],
    }


if __name__ == "__main__":
    variants = {name: record(name) for name in ("legacy", "nonlegacy", "old")}
    made_with = "transformers 4.34.0, slow LlamaTokenizer; see record.py"
    data = {"made_with": made_with, "variants": variants}
    (HERE / "llama_4_34.json").write_text(json.dumps(data, separators=(",", ":")))
