"""A trained model as one folder: written, checked, loaded, and used on new texts."""
