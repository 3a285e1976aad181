"""Wikipedia dumps: finding and downloading them, and reading them page by page."""
