"""What every test starts from: no network, one thread, fixed seeds.

Nothing of the package is imported here: the run-time type checks are installed after this file is read.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported

import random

import numpy as np
import pytest
import torch

torch.set_num_threads(1)  # small models: more threads wait for one another longer than they work


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
