"""Reading a corpus: what neurons and heads fire on, kept while text streams by."""
