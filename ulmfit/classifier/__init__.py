"""Step 4: a language model and labelled texts become a classifier and its predictions."""
