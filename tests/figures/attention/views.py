"""Attention views with invented weights, and tokens that would like to be HTML."""

import numpy as np

from interp_emerge.core.attention import AttentionWeights, Mode
from interp_emerge.figures import AttentionView

HOSTILE = (
    "<s>",
    "</script><script>document.title='PWNED'</script>",
    "<img src=x onerror=\"document.title='PWNED'\">",
    "<!--<script>",
    "שלום",
    "😀👩‍🔬",
    "x" * 200,
    '" onload=alert(1) x="',
    " the",
    "",
)
STEPS = (0, 100, 1000)


def weights(
    n_heads: int = 4, tokens: tuple[str, ...] = HOSTILE, *, seed: int = 0, mode: Mode = "pattern", **more
) -> AttentionWeights:
    """Random causal patterns; a difference is that of two."""
    rng, n = np.random.default_rng(seed), len(tokens)
    raw = np.where(np.tri(n, dtype=bool), rng.gamma(0.3, size=(2, n_heads, n, n)) + 1e-6, 0)
    first, second = (raw / raw.sum(-1, keepdims=True)).astype(np.float32)
    seen = np.tri(n, dtype=np.float32)[None]
    fields = {
        "weights": first - second if mode == "difference" else 3 * first if mode == "value_weighted" else first,
        "heads": tuple(f"a{head // 2}.h{head % 2}" for head in range(n_heads)),
        "tokens": tokens,
        "mode": mode,
        "uniform": seen / seen.sum(-1, keepdims=True) if mode == "pattern" else None,
        "model": f"invented/x/step{seed}/seed0",
    }
    return AttentionWeights(**fields | more)


def family() -> AttentionView:
    """Two sizes at three steps each; the larger one has more heads."""
    frames = [
        weights(n_heads, seed=place * 10 + at, size=size, step=step, model=f"invented/{size}/step{step}/seed0")
        for place, (size, n_heads) in enumerate({"1k": 2, "2k": 4}.items())
        for at, step in enumerate(STEPS)
    ]
    return AttentionView(frames=tuple(frames), roles={"a1.h0": {"induction": 0.75, "previous_token": float("nan")}})


def averaged() -> AttentionView:
    """A mean over pairs at three named positions, with intervals."""
    tokens = ("(first)", "subject", "end", "(other tokens)")
    rng = np.random.default_rng(3)
    mean = rng.dirichlet(np.ones(4), (2, 3)).astype(np.float32)
    ends = {"low": mean - 0.01, "high": mean + 0.02, "uniform": np.full((1, 3, 4), 0.25, np.float32)}
    frame = AttentionWeights(weights=mean, heads=("a0.h0", "a0.h1"), tokens=tokens, n_pairs=12, model="m", **ends)
    return AttentionView(frames=(frame,))
