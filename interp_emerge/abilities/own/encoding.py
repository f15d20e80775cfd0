"""Which tokenizer turned the text of prompt pairs into token ids, and what these tokens are called."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """The tokenizer of some pairs that were given as text."""

    vocabulary: str
    """Hash of the tokenizer and of what stands first in a prompt: `HookedModel.vocabulary`. If it is empty, only the
    names are known, and the pairs are for every model whose tokens they are."""
    names: Mapping[int, str] = field(default_factory=dict)
    """The name of each token that occurs in the pairs."""
    first: str = ""
    """What stands first in every prompt, as the vocabulary writes it."""

    @classmethod
    def of(cls, model: HookedModel, ids: Iterable[int]) -> "Encoding":
        """The encoding of a model's tokenizer, with the names of these tokens."""
        ids = sorted({*ids})
        names = dict(zip(ids, model.words(ids), strict=True))
        return cls(vocabulary=model.vocabulary, names=names, first=model.lexicon.recorded(model.bos))

    @classmethod
    def names_only(cls, model: HookedModel, ids: Iterable[int]) -> "Encoding":
        """The names of these tokens, for pairs that models with another first token may use too."""
        return cls(vocabulary="", names=cls.of(model, ids).names)

    def words(self, ids: Iterable[int]) -> list[str]:
        """The names of tokens; the id in brackets where the name is not known."""
        return [self.names.get(int(token), f"[{int(token)}]") for token in ids]

    def text(self, ids: Iterable[int]) -> str:
        """The names of tokens in a row, with spaces between them if the names of this vocabulary hold none."""
        between = "" if any(name.startswith(" ") for name in self.names.values()) else " "
        return between.join(self.words(ids))

    def and_names_of(self, other: "Encoding | None") -> "Encoding":
        """The same encoding with the names of another one as well; a token that both name differently has none."""
        more = {} if other is None else other.names
        both = {**self.names, **more}
        names = {token: name for token, name in both.items() if self.names.get(token, name) == name}
        return Encoding(vocabulary=self.vocabulary, names=names, first=self.first)

    def require(self, model: HookedModel) -> None:
        """Raise an `InputError` if the model's tokenizer or its first token is another one."""
        if not self.vocabulary or not model.vocabulary or self.vocabulary == model.vocabulary:
            return
        raise InputError(f"the text of these pairs was encoded with another tokenizer or another first token "
                         f"({self.first or 'none'}) than that of {model.spec} ({model.spec.prepended or 'none'}); "
                         "make the pairs again with this model")  # fmt: skip
