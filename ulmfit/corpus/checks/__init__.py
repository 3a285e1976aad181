"""What may be wrong with a data set: copies, contradictions, shifted labels, texts that say nothing."""
