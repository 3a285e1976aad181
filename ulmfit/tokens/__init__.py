"""Step 2: documents -> SentencePiece model and token arrays."""
