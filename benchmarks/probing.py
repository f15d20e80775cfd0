"""Time probes of many sites beside a loop over scikit-learn, and the memory that streamed activations take.

Both sides get the same activations, folds and penalties in one process and with the same threads. Times are of the
processor, so they do not depend on what else the machine does. `python -m benchmarks.probing`.
"""

import argparse
import resource
import time

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from interp_emerge.probing import Decoder, shelf
from interp_emerge.probing.engines.activations import Activations
from interp_emerge.probing.engines.folds import folds_of
from interp_emerge.probing.engines.logistic_fits import fit_logistic
from interp_emerge.probing.engines.problems import Basis, Problem
from interp_emerge.probing.engines.sites import Site
from interp_emerge.probing.engines.trials import Design, try_decoder
from interp_emerge.probing.engines.variables import Target

FOLDS, WIDTH = 5, 768
STRENGTHS = shelf["logistic"].strengths  # pyright: ignore[reportAttributeAccessIssue]


def activations_of(site: int, n: int) -> torch.Tensor:
    """Activations of a site with a spectrum like that of a residual stream, shape [prompt, feature]."""
    generator = torch.Generator().manual_seed(site)
    spectrum = torch.arange(1, WIDTH + 1) ** -0.5
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator))[0]
    return torch.randn(n, WIDTH, generator=generator).mul_(spectrum) @ turn


def labels_of(x: torch.Tensor) -> torch.Tensor:
    """Two classes that a probe gets partly right, shape [prompt]."""
    generator = torch.Generator().manual_seed(0)
    score = x @ torch.randn(WIDTH, generator=generator)
    return (score + score.std() * torch.randn(len(x), generator=generator) > 0).long()


def speed(n: int, sites: int, theirs_of: int) -> None:
    """Print the ratio of processor times, and the difference of held-out accuracies.

    One site is in memory at a time. Both sides fit every fold and penalty of a site; their times are means over sites.
    """
    mine, theirs, differences = 0.0, 0.0, []
    for site in range(sites):
        x = activations_of(site, n)
        labels = labels_of(x)
        folds = folds_of(torch.arange(n), labels, FOLDS, seed=0)
        training = folds != torch.arange(FOLDS)[:, None]
        start = time.process_time()
        ours = accuracies(x, labels, folds, training)
        mine += (time.process_time() - start) / sites
        if site >= theirs_of:
            continue
        values = (x - x.mean(0)) / (x - x.mean(0)).square().mean().sqrt()
        start = time.process_time()
        for place, strength in enumerate(STRENGTHS):
            found = []
            for fold in range(FOLDS):
                rows, held = training[fold].numpy(), (folds == fold).numpy()
                model = LogisticRegression(C=1 / (strength * rows.sum()), max_iter=1000).fit(values[rows], labels[rows])
                found.append(model.score(values[held], labels[held]))
            differences.append(abs(np.mean(found) - float(ours[place])))
        theirs += (time.process_time() - start) / theirs_of
    print(f"{n} prompts x {WIDTH} features, {FOLDS} folds x {len(STRENGTHS)} penalties, processor time for one site:")
    print(f"  here {mine:.2f} s (mean of {sites}), scikit-learn {theirs:.2f} s (of {theirs_of}): {theirs / mine:.0f} x")
    print(f"  for 100 sites that is {100 * mine / 60:.0f} minutes here and {100 * theirs / 60:.0f} there")
    print(f"  largest difference of held-out accuracy: {100 * max(differences):.2f} points")


def accuracies(x: torch.Tensor, labels: torch.Tensor, folds: torch.Tensor, training: torch.Tensor) -> torch.Tensor:
    """Held-out accuracy of each penalty, the mean over folds."""
    turned = Basis.of(x[None])[1]
    strengths = turned.new_tensor(STRENGTHS).expand(1, 1, FOLDS, -1)
    fit = fit_logistic(Problem(x=turned, labels=labels[None], n_classes=2, training=training, strengths=strengths))
    right = []
    for fold in range(FOLDS):
        held = folds == fold
        chosen = fit.scores(turned[:, held], split=fold)[0, 0].argmax(-1)
        right.append((chosen == labels[held]).float().mean(-1))
    return torch.stack(right).mean(0)


def memory(n: int, layers: int) -> None:
    """Print the peak memory of ridge probes on activations that are streamed to disk in chunks."""
    sites = [Site(kind="resid_post", layer=layer) for layer in range(layers)]
    held = Activations(sites, n, in_memory=False)
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (n,), generator=generator)
    for start in range(0, n, 2000):
        for site in sites:
            part = torch.randn(min(2000, n - start), WIDTH, generator=generator)
            part[:, 0] += labels[start : start + len(part)]
            held.add(site, part)
    target = Target(variable="label", labels=labels, classes=(0, 1))
    folds = folds_of(torch.arange(n), labels, FOLDS, seed=0)
    design = Design(target=target, arms=("true",), labels=labels[None], folds=folds, groups=torch.arange(n), seed=0)
    decoder = shelf["ridge"]
    assert isinstance(decoder, Decoder)
    start, budget = time.process_time(), 1 << 28
    found = [
        try_decoder(decoder, x, design, budget=budget, full=False).hits.mean() for _, x in held.blocks(0, budget, sites)
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{n} prompts x {layers} layers x {WIDTH}: {n * layers * WIDTH * 4 / 2**30:.1f} GiB of activations on disk,")
    print(f"  peak memory of the process {peak:.2f} GiB, {time.process_time() - start:.0f} s of processor, "
          f"accuracy {np.mean(found):.3f}")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=8000)
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--theirs", type=int, default=4, help="sites on which scikit-learn is timed")
    parser.add_argument("--streamed", type=int, default=100_000)
    parser.add_argument("--layers", type=int, default=13)
    given = parser.parse_args()
    if given.streamed:
        memory(given.streamed, given.layers)
    if given.sites:
        speed(given.prompts, given.sites, max(1, given.theirs))
