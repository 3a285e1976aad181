"""Step 1: a Wikipedia dump or text files -> `documents.parquet` and `account.json`."""
