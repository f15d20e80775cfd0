import subprocess
import sys

import pytest

from interp_emerge.core.errors import UnknownNameError
from interp_emerge.figures import shelf


def test_the_shelf_holds_the_figures_of_the_report():
    over_scale = {"ability_curve", "ability_by_checkpoint"}
    figures = {"ablation", "circuit_graph", "faithfulness", "formation", "head_effects"}
    assert over_scale | figures <= set(shelf.names())


def test_a_misspelt_figure_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="did you mean 'head_effects'"):
        shelf["head_efects"]


def test_listing_figures_imports_no_altair():
    code = "import sys; from interp_emerge.figures import shelf; shelf.names(); assert 'altair' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
