"""Titles of the works that items of the package and its tests come from, by the address in their `Source`."""

from interp_emerge.core.source import Source

ARXIV = "https://arxiv.org/abs/"
_ARXIV_TITLES = {
    "1610.01644": "Understanding intermediate layers using linear classifier probes",
    "2003.12298": "Information-Theoretic Probing with Minimum Description Length",
    "2004.12265": "Causal Mediation Analysis for Interpreting Neural NLP: The Case of Gender Bias",
    "2006.00995": "Amnesic Probing: Behavioral Explanation with Amnesic Counterfactuals",
    "2106.02997": "Causal Abstractions of Neural Networks",
    "2106.06087": "Causal Analysis of Syntactic Agreement Mechanisms in Neural Language Models",
    "2205.01068": "OPT: Open Pre-trained Transformer Language Models",
    "2209.11895": "In-context Learning and Induction Heads",
    "2211.00593": "Interpretability in the Wild: a Circuit for Indirect Object Identification in GPT-2 small",
    "2301.05217": "Progress measures for grokking via mechanistic interpretability",
    "2303.02536": "Finding Alignments Between Interpretable Causal Variables and Distributed Neural Representations",
    "2303.08112": "Eliciting Latent Predictions from Transformers with the Tuned Lens",
    "2304.01373": "Pythia: A Suite for Analyzing Large Language Models Across Training and Scaling",
    "2304.03208": "Cerebras-GPT: Open Compute-Optimal Language Models Trained on the Cerebras Wafer-Scale Cluster",
    "2304.05969": "Localizing Model Behavior with Path Patching",
    "2304.14997": "Towards Automated Circuit Discovery for Mechanistic Interpretability",
    "2305.00586": "How does GPT-2 compute greater-than?: Interpreting mathematical abilities in a pre-trained language "
    "model",
    "2305.01610": "Finding Neurons in a Haystack: Case Studies with Sparse Probing",
    "2305.07759": "TinyStories: How Small Can Language Models Be and Still Speak Coherent English?",
    "2305.15054": "A Mechanistic Interpretation of Arithmetic Reasoning in Language Models using Causal Mediation "
    "Analysis",
    "2306.03819": "LEACE: Perfect linear concept erasure in closed form",
    "2307.15771": "The Hydra Effect: Emergent Self-repair in Language Model Computations",
    "2310.04625": "Copy Suppression: Comprehensively Understanding an Attention Head",
    "2310.06824": "The Geometry of Truth: Emergent Linear Structure in Large Language Model Representations of "
    "True/False Datasets",
    "2310.08744": "Circuit Component Reuse Across Tasks in Transformer Language Models",
    "2310.10348": "Attribution Patching Outperforms Automated Circuit Discovery",
    "2310.15213": "Function Vectors in Large Language Models",
    "2312.04927": "Zoology: Measuring and Improving Recall in Efficient Language Models",
    "2312.06681": "Steering Llama 2 via Contrastive Activation Addition",
    "2312.09230": "Successor Heads: Recurring, Interpretable Attention Heads In The Wild",
    "2402.00838": "OLMo: Accelerating the Science of Language Models",
    "2402.11004": "The Evolution of Statistical Induction Heads: In-Context Learning Markov Chains",
    "2402.16837": "Do Large Language Models Latently Perform Multi-Hop Reasoning?",
    "2403.00745": "AtP*: An efficient and scalable method for localizing LLM behaviour to components",
    "2403.17806": "Have Faith in Faithfulness: Going Beyond Circuit Overlap When Finding Model Mechanisms",
    "2405.04156": "How does GPT-2 Predict Acronyms? Extracting and Understanding a Circuit via Mechanistic "
    "Interpretability",
    "2407.15018": "Answer, Assemble, Ace: Understanding How LMs Answer Multiple Choice Questions",
    "2407.21783": "The Llama 3 Herd of Models",
    "2410.13032": "Hypothesis Testing the Circuit Hypothesis in LLMs",
    "2412.15115": "Qwen2.5 Technical Report",
    "2501.00656": "2 OLMo 2 Furious",
    "2502.02737": "SmolLM2: When Smol Goes Big - Data-Centric Training of a Small Language Model",
    "2503.09543": "PolyPythias: Stability and Outliers across Fifty Language Model Pre-Training Runs",
    "2503.19786": "Gemma 3 Technical Report",
    "2504.13151": "MIB: A Mechanistic Interpretability Benchmark",
    "2505.09388": "Qwen3 Technical Report",
    "2511.13653": "Weight-sparse transformers have interpretable circuits",
    "2512.13961": "Olmo 3",
}
_FRAMEWORK = "A Mathematical Framework for Transformer Circuits"
TITLES = {ARXIV + number: title for number, title in _ARXIV_TITLES.items()} | {
    "https://doi.org/10.1073/pnas.082099299": "Diagnosis of multiple cancer types by shrunken centroids of gene "
    "expression",
    "https://doi.org/10.1080/00401706.1970.10488634": "Ridge Regression: Biased Estimation for Nonorthogonal Problems",
    "https://github.com/stanford-crfm/mistral": "Mistral: A Journey towards Reproducible Language Model Training",
    "https://huggingface.co/HuggingFaceTB/SmolLM3-3B-checkpoints": "SmolLM3: checkpoints",
    "https://huggingface.co/openai-community/gpt2": "Language Models are Unsupervised Multitask Learners",
    "https://itch.io/jam/mechint/rate/1889871": "Identifying a Preliminary Circuit for Predicting Gendered Pronouns in "
    "GPT-2 Small",
    "https://transformer-circuits.pub/2021/framework": _FRAMEWORK,
    "https://transformer-circuits.pub/2021/framework/index.html": _FRAMEWORK,
    "https://www.alignmentforum.org/posts/u6KXXmKFbXfWzoAXn/"
    "a-circuit-for-python-docstrings-in-a-4-layer-attention-only": "A circuit for Python docstrings in a 4-layer "
    "attention-only transformer",
    "https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru": "interpreting GPT: the logit lens",
    "https://www.neelnanda.io/mechanistic-interpretability/attribution-patching": "Attribution Patching: Activation "
    "Patching At Industrial Scale",
}
WANG = Source("Wang et al.", 2022, f"{ARXIV}2211.00593")
TESTS = {
    "hypotheses": (Source("Shi et al.", 2024, f"{ARXIV}2410.13032"),),
    "completeness": (WANG,),
    "minimality": (WANG,),
    "backup": (WANG, Source("McGrath et al.", 2023, f"{ARXIV}2307.15771")),
    "composition": (Source("Elhage et al.", 2021, "https://transformer-circuits.pub/2021/framework/index.html"),),
    "curve": (Source("Mueller et al.", 2025, f"{ARXIV}2504.13151"),),
}
"""Where the tests of `ie.examine` come from, by the name of their table. Those that are not here are this package's."""
