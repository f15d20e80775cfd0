"""The page that has each claim of the papers beside what was measured on the bundled family.

python analyses/literature/page.py    # writes docs/literature.md from published.csv and measured.csv; runs no model
"""

from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
PUBLISHED, MEASURED, PAGE = HERE / "published.csv", HERE / "measured.csv", HERE.parents[1] / "docs" / "literature.md"
HEAD = """# Beside the literature

Claims of six papers about how abilities and circuits emerge, each with the paper's number and, beside it, what the same
measurement gives on the bundled family: seven sizes up to 560k parameters, trained on a small synthetic language for 24
million tokens. A claim that does not hold there is not refuted for large models, and one that does is not confirmed for
them. *Agrees* and *does not* are what the rule in the last column says; *cannot be told here* means that the family
cannot decide it, or that noise leaves it open. Square brackets are 95% intervals.

```sh
python analyses/literature/run.py --keep                                                   # this page
python analyses/literature/run.py pythia --sizes 70m 160m 410m --at-most 24 --text FILE    # public checkpoints
```

The page is made from `published.csv` and `measured.csv` in the folder
[analyses/literature](../analyses/literature/README.md), which says how each quantity is measured and what was found.
"""
PAPERS = {
    "olsson_2022": "In-context Learning and Induction Heads (Olsson et al., 2022, https://arxiv.org/abs/2209.11895)",
    "tigges_2024": "LLM Circuit Analyses Are Consistent Across Training and Scale (Tigges et al., 2024, "
    "https://arxiv.org/abs/2407.10827)",
    "wang_2022": "Interpretability in the Wild (Wang et al., 2022, https://arxiv.org/abs/2211.00593)",
    "schaeffer_2023": "Are Emergent Abilities of Large Language Models a Mirage? (Schaeffer et al., 2023, "
    "https://arxiv.org/abs/2304.15004)",
    "xu_2026": "When Do Attention Circuits Form? (Xu, 2026, https://arxiv.org/abs/2606.02378)",
    "dip_2026": "Detection Without Suppression: A Sign Flip in IOI Circuit Formation (2026, "
    "https://openreview.net/forum?id=Czu86eIuWb)",
}


def page() -> str:
    """The whole page; a paper that was not measured has its claims alone."""
    claims = pd.read_csv(PUBLISHED).merge(pd.read_csv(MEASURED), on=["paper", "claim"], how="left", validate="1:1")
    counted = claims["verdict"].value_counts()
    parts = [HEAD, f"{len(claims)} claims: {', '.join(f'{n} *{verdict}*' for verdict, n in counted.items())}.\n"]
    for paper, source in PAPERS.items():
        rows = claims[claims["paper"] == paper].fillna({"ours": "", "verdict": "not measured", "why": "", "seconds": 0})
        title, _, about = source.partition(" (")
        command = f"`python analyses/literature/{paper}.py`, {rows['seconds'].max():.0f} CPU seconds."
        parts.append(f"## {title}\n\n{about.rstrip(')')}. {command}\n\n{table(rows)}\n")
    return "\n".join(parts)


def table(rows: pd.DataFrame) -> str:
    """The claims as a Markdown table."""
    lines = ["| claim | paper | here | verdict | rule or reason |", "|---|---|---|---|---|"]
    for row in rows.to_dict("records"):
        cells = (row["says"], f"{row['number']} ({row['where']})", row["ours"], f"**{row['verdict']}**", row["why"])
        lines.append(f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |")
    return "\n".join(lines)


def write() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    write()
