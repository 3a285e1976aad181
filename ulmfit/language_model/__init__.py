"""Step 3: token arrays become pretrained and fine-tuned language models."""
