"""Documents from other places than a dump."""
