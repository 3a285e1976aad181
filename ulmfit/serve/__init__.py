"""A classifier as a small web service: labels, explanations, and a page to try it."""
