"""Step 0: labelled files -> checked train/valid/test tables."""
