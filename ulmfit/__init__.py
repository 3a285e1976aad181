"""ULMFiT for morphologically rich languages: from a Wikipedia dump to a results table."""

__version__ = "0.1.0"
