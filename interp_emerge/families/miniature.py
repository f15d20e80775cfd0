"""The bundled family: small GPT-NeoX models of a synthetic language, trained by `interp-emerge train miniature`."""

from pathlib import Path

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.directory import DirectoryFamily

shelf.add(
    DirectoryFamily(
        Path(__file__).parent / "miniature_weights",
        name="miniature",
        summary="bundled GPT-NeoX models of a synthetic language, 3 thousand to 560 thousand parameters",
        source=Source("interp_emerge authors", 2026, "bundled with the package"),
        tokens_per_step=96 * 49,  # documents in a batch, tokens in a document
    )
)
