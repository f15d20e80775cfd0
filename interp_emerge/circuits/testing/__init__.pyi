from .backup import backup_heads as backup_heads
from .completeness import Completeness as Completeness, completeness as completeness
from .examination import Examination as Examination, examine as examine
from .hypotheses import (
    HypothesisTests as HypothesisTests,
    equivalence as equivalence,
    hypothesis_tests as hypothesis_tests,
    independence as independence,
    partial_necessity as partial_necessity,
    sufficiency as sufficiency,
)
from .minimality import Minimality as Minimality, minimality as minimality
from .outcomes import HypothesisVerdict as HypothesisVerdict
