"""Step 5: predictions -> metrics, baselines, record, report."""
