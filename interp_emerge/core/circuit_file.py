"""The content of a circuit file: the schema that `docs/circuit.schema.json` publishes.

A file holds the graph's shape, the writer and reader of each edge, and how the circuit was found. It can be read
without the model.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

SCHEMA = "interp_emerge.circuit/1"


class GraphFields(BaseModel):
    """The shape of the decoder that the edges belong to."""

    model_config = ConfigDict(extra="forbid", strict=True)

    n_layers: int = Field(ge=1, description="layers")
    n_heads: int = Field(ge=1, description="attention heads of a layer")
    n_kv_heads: int = Field(ge=1, description="key-value heads of a layer; fewer than heads under grouped queries")
    parallel: bool = Field(description="whether the MLP reads the stream before the attention of its layer has written")
    joined: bool = Field(False, description="whether a norm of queries or keys runs over all heads of a layer")
    rescaled: bool = Field(False, description="whether a norm follows attention")

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> "GraphFields":
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"{self.n_heads} heads cannot share {self.n_kv_heads} key-value heads evenly")
        return self


class OriginFields(BaseModel):
    """How the circuit was found. Unknown fields are left out, and further fields are allowed."""

    model_config = ConfigDict(extra="allow")

    model: dict[str, Any] | None = Field(
        None,
        description="family, size, step, seed, location, revision (hash of the weights), dtype, weights, prepended",
    )
    method: str | None = Field(None, description="patching method that gave the scores")
    metric: str | None = Field(None, description="metric that the scores refer to")
    ablation: str | None = Field(
        None, description="what replaced the edges outside the circuit while it was chosen: resample, mean, …"
    )
    prompts: str | None = Field(None, description="hash of the token ids of all prompt pairs")
    n_pairs: int | None = Field(None, description="number of prompt pairs")


class CircuitFile(BaseModel):
    """A circuit: the edges of a decoder's graph that are claimed to carry an ability."""

    model_config = ConfigDict(extra="forbid", title="Circuit")

    schema_: Literal["interp_emerge.circuit/1"] = Field(alias="schema", description="name and version of this format")
    graph: GraphFields
    origin: OriginFields
    edges: list[tuple[str, str, FiniteFloat]] = Field(
        description="writer, reader and score of each kept edge, in the order in which they run. Writers: embed, "
        "a3.h1, m3. Readers: a3.h1.q, a3.kv0.k, m3, logits. The score is 0 where nothing was scored."
    )

    @model_validator(mode="after")
    def _edges_differ(self) -> "CircuitFile":
        seen: set[tuple[str, str]] = set()
        for writer, reader, _ in self.edges:
            if (writer, reader) in seen:
                raise ValueError(f"edge {writer} → {reader} is listed twice")
            seen.add((writer, reader))
        return self
