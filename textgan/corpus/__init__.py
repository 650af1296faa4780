"""From text to memory-mapped ids: sources, sentences, tokens, and the part that is held out."""

from .build import prepare
from .sources import ReadReport, documents
from .store import Corpus, Sentences, write_oracle

__all__ = ["Corpus", "ReadReport", "Sentences", "documents", "prepare", "write_oracle"]
